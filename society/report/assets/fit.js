// Shows a table that is wider than its place as a list: a block for each row, with a line for each cell.
const fitting = new ResizeObserver((entries) => {
  requestAnimationFrame(() => {
    for (const { target } of entries) {
      target.classList.remove("stacked");
      target.classList.toggle("stacked", target.scrollWidth > target.clientWidth + 1);
    }
  });
});
