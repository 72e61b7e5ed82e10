"use strict";
// Strips, search and map of a report. Names of files are put in as text alone (textContent), never as HTML.
(() => {
  const root = document.documentElement;
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const byId = (id) => document.getElementById(id);

  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const changed = [];  // called when the colours are others
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("mofore-theme", root.dataset.theme); } catch (error) { /* not remembered */ }
    changed.forEach((redraw) => redraw());
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => changed.forEach((redraw) => redraw()));
  if (!window.mofore) return;

  const arrays = { i2: Int16Array, i4: Int32Array, u2: Uint16Array };
  const unpack = ({ kind, base64 }) =>
    new arrays[kind](Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
  const { videos, spaces, maps } = window.mofore;
  const count = videos.ids.length;
  const kinds = Object.fromEntries(
    Object.entries(videos.kinds).map(([kind, { names, codes }]) => [kind, { names, codes: unpack(codes) }]));
  const thumbs = { ...videos.thumbs, sheet: unpack(videos.thumbs.sheet), tile: unpack(videos.thumbs.tile) };
  spaces.forEach((space) => { space.near = unpack(space.near); space.similarity = unpack(space.similarity); });
  maps.forEach((map) => { map.places = unpack(map.places); });
  const nameOf = (kind, video) => kinds[kind].names[kinds[kind].codes[video]] ?? null;
  const classesOf = (video) => videos.labels[video] ?? [nameOf("class", video)].filter((name) => name !== null);
  const stem = (video) => videos.ids[video].split("/").pop();

  // ---- pictures and strips
  const picture = (video) => {
    const box = element("span", { className: "picture" });
    const sheet = thumbs.sheet[video];
    if (sheet < 0) {
      box.textContent = "no picture";
      return box;
    }
    const [width, height] = thumbs.size;
    const column = thumbs.tile[video] % thumbs.columns, row = Math.floor(thumbs.tile[video] / thumbs.columns);
    box.style.backgroundImage = `url("${thumbs.files[sheet]}")`;
    // In shares of the box, so that a tile fills it at any size.
    box.style.backgroundSize = `${thumbs.columns * 100}% auto`;
    box.style.backgroundPosition = `${column * 100 / (thumbs.columns - 1)}% 0`;
    box.dataset.row = row;
    box.dataset.aspect = height / width;
    return box;
  };
  // The height of a sheet is not known before it is loaded, so rows are placed in pixels once the box has a size.
  const place = (box) => {
    if (box.dataset.row === undefined) return;
    const down = box.clientWidth * box.dataset.aspect * box.dataset.row;
    box.style.backgroundPositionY = `${-down}px`;
  };
  const placed = new ResizeObserver((entries) => entries.forEach(({ target }) => place(target)));

  const tile = (video, { query = null, similarity = null, rank = 0 } = {}) => {
    const label = nameOf("class", video);
    const mine = classesOf(video), theirs = query === null ? [] : classesOf(query);
    const right = mine.length && theirs.length ? mine.some((name) => theirs.includes(name)) : null;
    const verdict = query === null ? "query" : right === null ? "" : right ? "right" : "wrong";
    const mark = { right: "✓ ", wrong: "✗ ", query: "", "": "" }[verdict];
    const told = { right: "same class", wrong: "other class", query: "query", "": "" }[verdict];
    const made = element("button", { type: "button", className: `tile ${verdict}`, title: videos.ids[video] });
    made.dataset.video = video;
    const first = query === null ? "query" : `${rank}. ${mark}${(similarity / 10000).toFixed(3)}`;
    made.append(picture(video), element("span", { className: "cap first", textContent: first }),
      element("span", { className: "cap", textContent: label ?? stem(video) }));
    made.setAttribute("aria-label",
      [query === null ? "" : `rank ${rank}, similarity ${(similarity / 10000).toFixed(3)}`, told, label ?? "", videos.ids[video]]
        .filter(Boolean).join(", "));
    placed.observe(made.firstChild);
    return made;
  };

  const strip = (video, space, most) => {
    const list = element("ol", { className: "strip" });
    list.setAttribute("aria-label", `Nearest to ${videos.ids[video]} in ${space.name}`);
    list.append(element("li", {}, tile(video)));
    for (let rank = 0; rank < Math.min(most, space.count); rank++) {
      const near = space.near[video * space.count + rank];
      if (near < 0) break;
      list.append(element("li", {},
        tile(near, { query: video, rank: rank + 1, similarity: space.similarity[video * space.count + rank] })));
    }
    const tiles = [...list.querySelectorAll("button")];
    tiles.forEach((each, number) => { each.tabIndex = number ? -1 : 0; });
    list.addEventListener("keydown", (event) => {
      const now = tiles.indexOf(event.target);
      const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tiles.length - 1 }[event.key];
      if (next === undefined || !tiles[next]) return;
      event.preventDefault();
      tiles.forEach((each) => { each.tabIndex = -1; });
      tiles[next].tabIndex = 0;
      tiles[next].focus();
    });
    list.addEventListener("click", (event) => {
      const found = event.target.closest("button");
      if (found) choose(Number(found.dataset.video), { focus: true });
    });
    return list;
  };

  const head = (video, ...more) => {
    const told = [nameOf("class", video), nameOf("group", video), nameOf("side", video), nameOf("error", video), ...more];
    return element("div", { className: "strip-head" }, element("b", { textContent: videos.ids[video] }),
      ...told.filter(Boolean).map((text) => element("span", { textContent: text })));
  };

  let chosen = -1;
  const choose = (video, { focus = false } = {}) => {
    chosen = video;
    const box = byId("chosen");
    box.replaceChildren(head(video));
    spaces.forEach((space) => {
      const what = space.name === "frames" ? "frames: the raw features, without training" : space.name;
      box.append(element("div", { className: "strip-head", textContent: what }), strip(video, space, 20));
    });
    changed.forEach((redraw) => redraw());
    if (focus) {
      byId("explorer").scrollIntoView({ block: "start" });
      box.querySelector("button")?.focus({ preventScroll: true });
    }
  };

  byId("rule").textContent = videos.examples.rule;
  Object.entries(videos.examples.kinds).forEach(([kind, rows]) => {
    byId("examples").append(element("h3", { className: "kinds", textContent: kind }));
    rows.forEach((video) => byId("examples").append(head(video), strip(video, spaces[0], 10)));
  });
  document.addEventListener("click", (event) => {
    const found = event.target.closest("[data-open]");
    if (found) choose(Number(found.dataset.open), { focus: true });
  });

  // ---- search
  const find = byId("find"), found = byId("found");
  const lower = videos.ids.map((id, video) => `${id} ${nameOf("class", video) ?? ""}`.toLowerCase());
  let active = -1;
  const close = () => { found.hidden = true; active = -1; find.setAttribute("aria-expanded", "false"); find.removeAttribute("aria-activedescendant"); };
  const look = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return close();
    const hits = [];
    for (let video = 0; video < count && hits.length < 50; video++) {
      if (words.every((word) => lower[video].includes(word))) hits.push(video);
    }
    found.replaceChildren(...hits.map((video, number) => {
      const item = element("li", { id: `hit-${number}`, textContent: videos.ids[video] });
      item.setAttribute("role", "option");
      item.dataset.video = video;
      return item;
    }));
    if (!hits.length) found.append(element("li", { className: "none", textContent: "no video has that in its name or class" }));
    found.hidden = false;
    find.setAttribute("aria-expanded", "true");
    mark(hits.length ? 0 : -1);
  };
  const mark = (number) => {
    active = number;
    [...found.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === number)));
    if (number >= 0) {
      find.setAttribute("aria-activedescendant", `hit-${number}`);
      found.children[number].scrollIntoView({ block: "nearest" });
    }
  };
  const take = (item) => { if (item?.dataset.video !== undefined) { find.value = item.textContent; close(); choose(Number(item.dataset.video)); } };
  find.addEventListener("input", look);
  find.addEventListener("keydown", (event) => {
    const items = found.querySelectorAll("[role=option]").length;
    if (event.key === "ArrowDown" && items) mark((active + 1) % items);
    else if (event.key === "ArrowUp" && items) mark((active + items - 1) % items);
    else if (event.key === "Enter") take(found.children[active]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  found.addEventListener("mousedown", (event) => { event.preventDefault(); take(event.target.closest("li")); });
  find.addEventListener("blur", close);

  // ---- map
  const canvas = byId("canvas"), tip = byId("tip"), pen = canvas.getContext("2d");
  const kindOf = byId("map-kind"), colourBy = byId("map-colour"), one = byId("map-one");
  const COLOURS = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5"];
  const SHAPES = ["circle", "square", "triangle", "diamond", "circle", "triangle"];
  maps.forEach((map, number) => kindOf.append(element("option", { value: number, textContent: map.name })));
  [...colourBy.options].forEach((option) => { if (!kinds[option.value].names.length) option.remove(); });
  let view = { x: 0.5, y: 0.5, zoom: 1 };
  let near = -1;
  let largest = [];  // codes of what most videos are, each with a colour and a shape of its own
  const few = () => kinds[colourBy.value].names.length <= COLOURS.length;

  const list = () => {
    const { names, codes } = kinds[colourBy.value];
    const amounts = new Array(names.length).fill(0);
    codes.forEach((code) => { if (code >= 0) amounts[code]++; });
    largest = amounts.map((amount, code) => [amount, code]).sort((a, b) => b[0] - a[0] || a[1] - b[1])
      .slice(0, COLOURS.length).map(([, code]) => code);
    one.replaceChildren(element("option", { value: -1, textContent: few() ? "all" : `the ${largest.length} largest` }),
      ...names.map((name, code) => element("option", { value: code, textContent: `${name} (${amounts[code]})` })));
    one.value = "-1";
  };
  const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
  const scale = () => { const { width, height } = size(); return (Math.min(width, height) - 36) * view.zoom; };
  const at = (video) => {
    const { width, height } = size(), places = maps[kindOf.value].places;
    return [width / 2 + (places[2 * video] / 65535 - view.x) * scale(),
      height / 2 - (places[2 * video + 1] / 65535 - view.y) * scale()];
  };
  const shape = (kind, x, y, radius) => {
    pen.beginPath();
    if (kind === "circle") pen.arc(x, y, radius, 0, 7);
    else if (kind === "square") pen.rect(x - radius * 0.85, y - radius * 0.85, radius * 1.7, radius * 1.7);
    else if (kind === "triangle") { pen.moveTo(x, y - radius * 1.2); pen.lineTo(x + radius * 1.1, y + radius * 0.8); pen.lineTo(x - radius * 1.1, y + radius * 0.8); pen.closePath(); }
    else { pen.moveTo(x, y - radius * 1.2); pen.lineTo(x + radius * 1.2, y); pen.lineTo(x, y + radius * 1.2); pen.lineTo(x - radius * 1.2, y); pen.closePath(); }
  };
  const ring = (video, colour, radius) => {
    const [x, y] = at(video);
    pen.beginPath(); pen.arc(x, y, radius, 0, 7); pen.lineWidth = 2.5; pen.strokeStyle = colour; pen.stroke();
  };
  const draw = () => {
    const { width, height } = size(), dots = devicePixelRatio || 1;
    canvas.width = width * dots; canvas.height = height * dots;
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(root), of = (name) => style.getPropertyValue(name).trim();
    const palette = COLOURS.map(of), mute = of("--mute"), ink = of("--ink"), { codes } = kinds[colourBy.value];
    const wanted = Number(one.value), radius = Math.max(2, Math.min(5, 90 / Math.sqrt(count))) * Math.sqrt(Math.min(view.zoom, 4));
    const numberOf = (code) => wanted < 0 ? largest.indexOf(code) : code === wanted ? Math.max(largest.indexOf(code), 0) : -1;
    for (const lit of [false, true]) {
      for (let video = 0; video < count; video++) {
        const number = codes[video] < 0 ? -1 : numberOf(codes[video]);
        if ((number >= 0) !== lit) continue;
        const [x, y] = at(video);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        pen.globalAlpha = lit ? 0.85 : 0.6;
        pen.fillStyle = lit ? palette[number] : mute;
        shape(lit ? SHAPES[number] : "circle", x, y, lit ? radius * 1.15 : radius * 0.8);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    if (chosen >= 0) {
      for (let rank = 0; rank < Math.min(10, spaces[0].count); rank++) {
        const other = spaces[0].near[chosen * spaces[0].count + rank];
        if (other >= 0) ring(other, ink, radius + 3);
      }
      ring(chosen, palette[1], radius + 7);
    }
    if (near >= 0) ring(near, palette[0], radius + 5);
    legend(palette, mute);
    byId("map-how").textContent = `${maps[kindOf.value].name}: ${maps[kindOf.value].how}. ` +
      (chosen >= 0 ? "The large ring is the chosen video, small ones are its ten nearest. " : "") +
      "Point at a video to see it, click for its neighbours; + and - zoom, drag to move.";
  };
  const legend = (palette, mute) => {
    const { names, codes } = kinds[colourBy.value], wanted = Number(one.value);
    const entry = (number, text) => {
      const swatch = element("span", { className: `swatch ${number < 0 ? "circle" : SHAPES[number]}` });
      swatch.style.background = number < 0 ? mute : palette[number];
      return element("span", {}, swatch, text);
    };
    const codesShown = wanted >= 0 ? [wanted] : largest;
    const shown = codesShown.map((code) => entry(Math.max(largest.indexOf(code), 0), names[code]));
    if (wanted >= 0 || names.length > largest.length) shown.push(entry(-1, "all others"));
    else if (codes.some((code) => code < 0)) shown.push(entry(-1, colourBy.value === "error" ? "not a query" : "not known"));
    byId("map-legend").replaceChildren(...shown);
  };
  const nearest = (x, y, most) => {
    let best = -1, least = most * most;
    for (let video = 0; video < count; video++) {
      const [left, top] = at(video), far = (left - x) ** 2 + (top - y) ** 2;
      if (far < least) { least = far; best = video; }
    }
    return best;
  };
  const show = (video) => {
    if (video === near) return;
    near = video;
    tip.hidden = video < 0;
    if (video >= 0) {
      const box = picture(video);
      box.style.setProperty("--w", `${Math.max(128, thumbs.size[0])}px`);
      tip.replaceChildren(box, element("div", { textContent: videos.ids[video] }),
        element("div", { textContent: [nameOf("class", video), nameOf("side", video), nameOf("error", video)].filter(Boolean).join(", ") }));
      const [x, y] = at(video), { width, height } = size();
      tip.style.left = `${Math.max(4, Math.min(x + 14, width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${y + 14 + tip.offsetHeight > height ? Math.max(4, y - tip.offsetHeight - 14) : y + 14}px`;
      place(box);
      canvas.setAttribute("aria-label", `${videos.ids[video]}, ${nameOf("class", video) ?? "no class"}. Enter: its neighbours.`);
    }
    draw();
  };
  const pointed = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const zoom = (factor, x, y) => {
    const { width, height } = size(), before = scale();
    const to = Math.max(1, Math.min(view.zoom * factor, 40));
    const mapX = view.x + (x - width / 2) / before, mapY = view.y - (y - height / 2) / before;
    view.zoom = to;
    view.x = mapX - (x - width / 2) / scale();
    view.y = mapY + (y - height / 2) / scale();
    if (to === 1) view = { x: 0.5, y: 0.5, zoom: 1 };
    show(-1);
    draw();
  };
  let held = null;  // where the pointer went down, and the view then
  canvas.addEventListener("pointerdown", (event) => { held = { at: pointed(event), view: { ...view }, moved: false }; });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = pointed(event);
    if (!held || event.buttons === 0 || view.zoom === 1) { held = event.buttons ? held : null; return show(nearest(x, y, 14)); }
    if (Math.hypot(x - held.at[0], y - held.at[1]) > 4) held.moved = true;
    if (!held.moved) return;
    view = { ...view, x: held.view.x - (x - held.at[0]) / scale(), y: held.view.y + (y - held.at[1]) / scale() };
    show(-1);
    draw();
  });
  canvas.addEventListener("pointerleave", () => show(-1));
  canvas.addEventListener("click", (event) => {
    const video = nearest(...pointed(event), 18), moved = held?.moved;
    held = null;
    if (video >= 0 && !moved) choose(video, { focus: true });
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { width, height } = size();
    if (step) {
      const [x, y] = near < 0 ? [width / 2, height / 2] : at(near);
      let best = -1, least = Infinity;
      for (let video = 0; video < count; video++) {  // the nearest that lies mostly that way
        const [left, top] = at(video), along = (left - x) * step[0] + (top - y) * step[1];
        const across = Math.abs((left - x) * step[1]) + Math.abs((top - y) * step[0]);
        if (video !== near && along > 0.5 && along >= across && along + 2 * across < least) { least = along + 2 * across; best = video; }
      }
      if (best >= 0) show(best);
      else if (near < 0) show(nearest(x, y, Infinity));
    } else if (event.key === "Enter" && near >= 0) choose(near, { focus: true });
    else if (event.key === "+") zoom(1.6, width / 2, height / 2);
    else if (event.key === "-") zoom(1 / 1.6, width / 2, height / 2);
    else if (event.key === "Escape") show(-1);
    else return;
    event.preventDefault();
  });
  const middle = () => [size().width / 2, size().height / 2];
  byId("map-in").addEventListener("click", () => zoom(1.6, ...middle()));
  byId("map-out").addEventListener("click", () => zoom(1 / 1.6, ...middle()));
  byId("map-reset").addEventListener("click", () => { view = { x: 0.5, y: 0.5, zoom: 1 }; show(-1); draw(); });
  kindOf.addEventListener("change", draw);
  colourBy.addEventListener("change", () => { list(); draw(); });
  one.addEventListener("change", draw);
  changed.push(draw);
  new ResizeObserver(draw).observe(canvas.parentElement);
  list();
  draw();
})();
