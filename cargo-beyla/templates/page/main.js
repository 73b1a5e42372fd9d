// Puts the page together.

async function main() {
  const progress = document.getElementById("progress");
  let report;
  try {
    report = await unpack();
  } catch (error) {
    progress.classList.add("bad");
    progress.replaceChildren(`The report in this page cannot be read: ${visible(error.message)}. `
      + "It needs a browser of 2023 or later. A report of very many requests may be too large for it: --max-requests makes it smaller.");
    return;
  }
  const data = new Data(report);
  const { target } = report;
  const path = target.executable ?? target.workspace ?? "";
  document.getElementById("name").replaceChildren(visible(path.split("/").filter(Boolean).at(-1) ?? "requests"));
  view.read();

  const parts = [findingsSection, budgetsSection, comparisonSection, testsSection, routesSection, requestsSection, flameSection,
    callsSection, notesSection];
  const sections = parts.map((make) => make(data)).filter(Boolean);
  append(document.getElementById("main"), [glance(data), sections]);
  if (report.totals.requests === 0) append(document.getElementById("main"), [element("p", { class: "quiet" }, "No request was seen.")]);
  append(document.getElementById("footer"), [footer(data)]);
  append(document.getElementById("sections"), sections.map((one) => element("a", {
    href: `#${one.id}`,
    on: {
      click: (event) => {
        // The address keeps what is shown.
        event.preventDefault();
        one.scrollIntoView();
        one.querySelector("h2").focus({ preventScroll: true });
      },
    },
  }, one.dataset.menu)));
  document.querySelector(".top").hidden = false;
  progress.remove();
  requestDialog(data);
  addEventListener("hashchange", () => view.read());
}

main();
