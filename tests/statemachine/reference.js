// Evaluates each expression with each of its sets of variables, by the JSONata that AWS names. From stdin, as JSON:
// [[expression, [variables, ...]], ...]. To stdout, one after the other: {value}, {} where there is none, or {error}.
const jsonata = require("jsonata");
const { readFileSync } = require("fs");

async function evaluated(parsed, variables) {
  try {
    return { value: await parsed.evaluate(undefined, variables) };
  } catch (error) {
    return { error: error.message };
  }
}

(async () => {
  const given = [];
  for (const [expression, sets] of JSON.parse(readFileSync(0, "utf8"))) {
    const parsed = jsonata(expression);
    for (const variables of sets) given.push(await evaluated(parsed, variables));
  }
  process.stdout.write(JSON.stringify(given));
})();
