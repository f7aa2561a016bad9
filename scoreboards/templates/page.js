"use strict";
(() => {
  const table = document.getElementById("cells");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const filters = [...document.querySelectorAll("#filters select")];
  const said = document.getElementById("shown");
  const verdicts = ["PASS", "HOLD", "FAIL", "ref"];
  const paper = Number(table.dataset.paper);
  const simulator = filters.find((filter) => filter.name === "simulator");
  const verdict = filters.find((filter) => filter.name === "verdict");
  const texts = new Map(rows.map((row) => [row, [...row.cells].map((cell) => cell.textContent)]));
  const text = (row, place) => texts.get(row)[place] ?? "";
  let sorted = "";

  const fits = (value, wanted) =>
    wanted === "" || value === wanted || (wanted === "judged" && value !== "ref");

  const key = (row, place) => {
    const value = text(row, place);
    if (place === 1) return verdicts.indexOf(value);
    if (!heads[place].dataset.number) return value;
    return value === "" ? null : Number.parseFloat(value);
  };

  const arrange = () => {
    const place = heads.findIndex((head) => head.dataset.name === sorted.replace(/^-/, ""));
    const turn = sorted.startsWith("-") ? -1 : 1;
    const order = rows.map((row, index) => [place < 0 ? 0 : key(row, place), index, row]);
    // What has no value stands last both ways; equals keep the order of the board.
    order.sort((a, b) => {
      if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null) || a[1] - b[1];
      return (a[0] < b[0] ? -turn : a[0] > b[0] ? turn : 0) || a[1] - b[1];
    });
    body.replaceChildren(...order.map((item) => item[2]));
    heads.forEach((head, at) => {
      if (at === place) head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  const sift = () => {
    let shown = 0;
    const wanted = filters.map((filter) => [Number(filter.dataset.place), filter.value]);
    for (const row of [...body.rows]) {
      const fitting = wanted.every(([place, value]) => fits(text(row, place), value));
      if (row.hidden === fitting) row.hidden = !fitting;
      row.classList.toggle("late", !fitting || shown >= paper);
      shown += fitting;
    }
    said.textContent = `${shown} of ${rows.length} rows`;
  };

  // What is chosen stands in the address, so that it can be passed on.
  const keep = () => {
    const chosen = new URLSearchParams();
    for (const filter of filters) if (filter.value !== filter.dataset.usual) chosen.set(filter.name, filter.value);
    if (sorted) chosen.set("sort", sorted);
    try {
      history.replaceState(null, "", chosen.size ? `#cells:${chosen}` : "#all");
    } catch {
      // A page inside a viewer may have no address of its own.
    }
  };

  const take = () => {
    if (!location.hash.startsWith("#cells:")) return;
    const chosen = new URLSearchParams(location.hash.slice(7));
    for (const filter of filters) {
      if (chosen.has(filter.name)) filter.value = chosen.get(filter.name);
    }
    sorted = chosen.get("sort") ?? "";
    arrange();
    sift();
  };

  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const name = head.dataset.name;
      const first = head.dataset.number ? `-${name}` : name;
      const other = head.dataset.number ? name : `-${name}`;
      sorted = sorted === first ? other : first;
      arrange();
      sift();
      keep();
    });
  });
  for (const filter of filters) {
    filter.addEventListener("change", () => {
      // Gates are asked of what the core played: rows of another simulator have no verdict.
      if (filter === simulator && !["", "core"].includes(filter.value) && verdict.value !== "") verdict.value = "";
      sift();
      keep();
    });
  }
  document.getElementById("reset").addEventListener("click", () => {
    for (const filter of filters) filter.value = filter.dataset.usual;
    sorted = "";
    arrange();
    sift();
    keep();
  });
  addEventListener("hashchange", take);
  for (const item of document.querySelectorAll("#others,label[for=others]")) item.remove();
  table.classList.add("live");
  document.getElementById("filters").hidden = false;
  sift();
  take();
})();
