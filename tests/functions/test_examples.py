"""The functions of docs/examples sign what the real checker takes: those of languages that are installed here."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from functions.links import Options, check

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
BASE, SECRET, OPTIONS = "https://pictures.example.com", "a secret", "w_640,f_auto"
KEYS = ["raw/cat.jpg", "raw/a b+c%20é&?#,=~'()*.jpg", "raw//📷/"]
LONGEST = 16  # lines of a file

# Of each file: the command that runs a program, and the program. It reads a list of arguments and prints the URLs.
PROGRAMS = {
    "sign.py": (
        ["python3", "-c"],
        (
            "import json, sys; from sign import signed_url as sign;"
            "print(json.dumps([sign(*one) for one in json.load(sys.stdin)]))"
        ),
    ),
    "sign.js": (
        ["node", "-e"],
        (
            "const { signedUrl } = require('./sign.js');"
            "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(one => signedUrl(...one))))"
        ),
    ),
    "sign.php": (
        ["php", "-r"],
        (
            "require 'sign.php';"
            "echo json_encode(array_map(fn($one) => signed_url(...$one), json_decode(stream_get_contents(STDIN))));"
        ),
    ),
    "sign.rb": (
        ["ruby", "-rjson", "-r./sign.rb", "-e"],
        "puts JSON.parse(STDIN.read).map { |one| signed_url(*one) }.to_json",
    ),
    "sign.go": (
        ["go", "run", "sign.go", "main.go"],
        (
            'package main\nimport ("encoding/json"; "os")\nfunc main() {\n'
            "\tvar given [][4]string\n\turls := []string{}\n"
            "\tjson.NewDecoder(os.Stdin).Decode(&given)\n"
            "\tfor _, one := range given { urls = append(urls, signedURL(one[0], one[1], one[2], one[3])) }\n"
            "\tjson.NewEncoder(os.Stdout).Encode(urls)\n}\n"
        ),
    ),
}


@pytest.mark.parametrize("file", PROGRAMS)
def test_what_an_example_signs_is_valid(file, tmp_path):
    """Whatever the key is called."""
    (command, program), given = PROGRAMS[file], [[BASE, SECRET, OPTIONS, key] for key in KEYS]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    shutil.copy(EXAMPLES / file, tmp_path)
    if file == "sign.go":
        (tmp_path / "main.go").write_text(program)
    else:
        command = [*command, program]
    said = subprocess.run(command, input=json.dumps(given), cwd=tmp_path, capture_output=True, text=True, check=True)
    for key, url in zip(KEYS, json.loads(said.stdout), strict=True):
        assert url.isascii()
        link = check([SECRET.encode()], url.removeprefix(BASE), datetime.now(UTC))
        assert (link.key, link.options) == (key, Options.parse(OPTIONS))


def test_an_example_is_a_few_lines_in_each_language():
    """Short enough to be read before it is copied."""
    lines = {file.name: len(file.read_text().splitlines()) for file in EXAMPLES.glob("sign.*")}
    assert lines.keys() == PROGRAMS.keys()
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
