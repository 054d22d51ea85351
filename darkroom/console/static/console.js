// What the page does beyond links and forms. Without it every view still works.
"use strict";

const trouble = () => document.getElementById("trouble");

// The cloud or the page itself went away, and came back.
document.addEventListener("htmx:sendError", () => {
  trouble().innerHTML = "";
  const line = document.createElement("p");
  line.className = "trouble";
  line.textContent = "This page's server was stopped. Run `darkroom console` again.";
  trouble().append(line);
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) trouble().innerHTML = "";
});

// What a part that was asked for again says, when that is new: read out from a place that itself stays.
document.addEventListener("htmx:afterSwap", () => {
  const part = document.querySelector("[data-said]");
  const words = part && (part.dataset.said || part.textContent.trim());
  const said = document.getElementById("said");
  if (words && said.textContent !== words) said.textContent = words;
});

// What was unfolded in such a part stays unfolded.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  unfolded = [...event.detail.target.querySelectorAll("details[open][id]")].map((one) => one.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
});

// The placeholder lies under the picture until that is there. These two events do not bubble: caught on their way down.
document.addEventListener("load", (event) => {
  if (event.target.matches?.("[data-picture]")) event.target.classList.add("there");
}, true);
document.addEventListener("error", (event) => {
  if (event.target.matches?.("[data-picture]")) event.target.closest(".frame").classList.add("broken");
}, true);
const marked = (root) => {
  for (const picture of root.querySelectorAll("[data-picture]")) {
    if (picture.complete && picture.currentSrc) {
      if (picture.naturalWidth) picture.classList.add("there");
      else picture.closest(".frame").classList.add("broken");
    }
  }
};

const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

document.addEventListener("DOMContentLoaded", () => {
  marked(document);

  const theme = document.querySelector("[data-theme-switch]");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=strict`;
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy);
      text.select();
      await navigator.clipboard.writeText(text.value);
      button.textContent = "Copied";
    });
  }

  const all = document.querySelector("[data-choose-all]");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      for (const box of document.querySelectorAll("[data-letters] input[name=letter]")) box.checked = true;
    });
  }

  const form = document.querySelector("[data-upload]");
  if (form) {
    form.querySelector("[data-without-script]").hidden = true; // a file is sent as soon as it is chosen
    uploading(form);
  }
});
document.addEventListener("htmx:afterSwap", (event) => marked(event.detail.elt.parentElement ?? document));

// Each file by itself, with its progress, and no more on their way at once than the cloud can work on.
function uploading(form) {
  const ways = document.querySelector("[data-ways]");
  const news = document.querySelector("[data-upload-news]");
  const input = form.querySelector("input[type=file]");
  const target = form.querySelector(".target");
  const limit = Number(form.dataset.limit);
  const atOnce = Number(form.dataset.atOnce);
  const queue = [];
  let sending = 0;

  const waiting = (file, path) => {
    const item = document.createElement("li");
    item.className = "way waiting";
    const box = document.createElement("div");
    const name = document.createElement("p");
    name.className = "line key";
    name.textContent = path;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${path}`);
    const said = document.createElement("span");
    said.className = "facts";
    said.textContent = "waiting for its turn";
    box.append(name, bar, said);
    item.append(box);
    ways.append(item);
    return { file, path, item, bar, said };
  };

  const failed = (one, text) => {
    one.bar.remove();
    one.said.className = "error";
    one.said.textContent = text;
    one.item.className = "way failed";
  };

  const send = (one) => {
    sending += 1;
    const body = new FormData();
    body.append("folder", form.elements.folder.value);
    body.append("pictures", one.file, one.path);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("HX-Request", "true");
    request.upload.addEventListener("progress", (event) => {
      one.bar.value = event.loaded / event.total;
      one.said.textContent = event.loaded < event.total
        ? `${Math.round(100 * event.loaded / event.total)} %` : "sending it to S3";
    });
    request.addEventListener("loadend", () => {
      sending -= 1;
      if (request.status === 200) {
        const parsed = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("li");
        one.item.replaceWith(parsed);
        htmx.process(parsed);
      } else {
        const parsed = new DOMParser().parseFromString(request.responseText, "text/html").body.textContent.trim();
        failed(one, request.status ? parsed : "This page's server did not answer.");
      }
      next();
    });
    request.send(body);
  };

  const next = () => {
    const moving = ways.querySelectorAll("[data-moving]").length;
    for (let room = atOnce - sending - moving; room > 0 && queue.length; room -= 1) send(queue.shift());
    const ended = ways.querySelectorAll("[data-status]:not([data-moving])").length;
    const total = ways.children.length;
    news.textContent = total ? `${ended} of ${total} finished` : "";
  };
  document.addEventListener("htmx:afterSwap", next);

  const take = (files) => {
    document.querySelector("[data-no-ways]").hidden = true;
    for (const file of files) {
      const one = waiting(file, file.webkitRelativePath || file.name);
      if (file.size > limit) failed(one, `${(file.size / 1048576).toFixed(1)} MiB: this stack takes ${(limit / 1048576).toFixed(1)} MiB at most.`);
      else queue.push(one);
    }
    next();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take([...input.files]);
    form.querySelector("input[type=file]").value = "";
  });
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  window.addEventListener("beforeunload", (event) => {
    if (queue.length || sending) event.preventDefault();
  });
  for (const type of ["dragenter", "dragover"]) {
    target.addEventListener(type, (event) => {
      event.preventDefault();
      if (!input.matches(":disabled")) target.classList.add("over");
    });
  }
  for (const type of ["dragleave", "drop"]) target.addEventListener(type, () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    if (input.matches(":disabled")) return;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folder = (item) => item.webkitGetAsEntry()?.isDirectory; // it has a File too, which cannot be read
    for (const item of items.filter(folder)) {
      failed(waiting(null, item.getAsFile().name), "This is a folder: use `darkroom upload FOLDER`.");
    }
    take(items.filter((item) => !folder(item)).map((item) => item.getAsFile()));
  });
}
