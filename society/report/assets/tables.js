// Draws matrices, tables and findings, and the frame around each figure.

function drawMatrix({ rows, columns, cells }) {
  const total = cells.flat().reduce((sum, cell) => sum + cell.value, 0) || 1;
  const body = cells.map((cellsOfRow, i) =>
    make(
      "tr",
      make("th", { scope: "row" }, rows[i]),
      cellsOfRow.map((cell) => {
        const count = [make("b", grouped(cell.value)), make("small", percent(cell.value / total, 0))];
        const inner = cell.tag
          ? make(
              "button",
              { type: "button", onclick: () => filterBy(cell.tag), title: `List the debates: ${LABELS[cell.tag]}` },
              ...count,
            )
          : make("div", ...count);
        return make("td", { class: cell.tone || "same" }, inner);
      }),
    ),
  );
  return make(
    "table.matrix",
    make(
      "thead",
      make(
        "tr",
        make("td"),
        columns.map((name) => make("th", { scope: "col" }, name)),
      ),
    ),
    make("tbody", body),
  );
}

const MOST_ROWS = 15; // a longer table is folded; report.css shows its first twelve rows

// Folds a long table on the screen, and returns the button that shows all of it. It is printed in full.
function foldRows(box, number) {
  box.classList.add("few");
  const button = make("button", { type: "button", class: "more" }, `Show all ${grouped(number)} rows`);
  button.addEventListener("click", () => {
    box.classList.remove("few");
    button.remove();
  });
  return button;
}

// A cell breaks between its number and its interval, but in neither.
const keepTogether = (text) =>
  text.replace(/[[(][^\])]*[\])]|[\d.%-]+ to [\d.%+-]+/g, (part) => part.replaceAll(" ", "\u00a0"));

function drawTable({ columns, rows }) {
  const numeric = columns.map((_, i) =>
    rows.every((row) => typeof row[i] === "number" || /^[-+−–.,()[\]<=n\d\s%to]*$/.test(row[i])),
  );
  const align = (i) => (numeric[i] ? "number" : "");
  const seen = new Set();
  const cell = (value) => (typeof value === "number" ? grouped(value) : keepTogether(value));
  const box = make(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" },
    make(
      "table",
      make(
        "thead",
        make(
          "tr",
          columns.map((name, i) => make("th", { scope: "col", class: align(i) }, explain(name, seen))),
        ),
      ),
      make(
        "tbody",
        rows.map((row) =>
          make(
            "tr",
            row.map((value, i) => make("td", { class: align(i), "data-column": columns[i] }, cell(value))),
          ),
        ),
      ),
    ),
  );
  fitting.observe(box);
  return rows.length > MOST_ROWS ? make("div", box, foldRows(box, rows.length)) : box;
}

const KINDS = { forest: drawForest, chart: drawChart, bars: drawBars, matrix: drawMatrix, table: drawTable };

function drawFigure(figure) {
  return make(
    "figure",
    { class: `${figure.kind} ${figure.columns?.length > 3 ? "wide" : ""}`, "data-figure": figure.id },
    make("h3", figure.title),
    KINDS[figure.kind](figure),
    make("figcaption", explain(figure.note)),
  );
}

function drawFinding({ question, answer, detail }) {
  return make("div.finding", make("h2", question), make("p.answer", answer), make("p", explain(detail)));
}
