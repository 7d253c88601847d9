// On a phone a row of a table is shown as a block: each cell gets the title of its column.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
    const titles = [...table.querySelectorAll("thead th")].map((title) => title.textContent);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, column) => {
        cell.dataset.title = titles[column] ?? "";
      });
    }
    table.dataset.titled = "";
  }
});
