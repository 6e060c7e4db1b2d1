// Draw the figures and the table of the page from its JSON, and link them: a filter, brush or
// selection in one applies to all. A live page polls for a newer version of itself.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const TABLE_STATES = ["complete", "pruned", "failed", "running", "waiting", "lost"];
  // The user's settings; they are kept when a newer version of the page is loaded.
  const ui = { sort: "score", descending: null, text: "", hidden: {}, brushes: {}, picked: null };
  let study, trials, byNumber;

  const find = (id) => document.getElementById(id);
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(attributes || {})) node.setAttribute(k, v);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const element = (name, attributes, parent, text) => {
    const node = document.createElement(name);
    for (const [k, v] of Object.entries(attributes || {})) node.setAttribute(k, v);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const show = (v, digits = 5) => {
    if (v === null || v === undefined) return "–";
    if (typeof v !== "number") return String(v);
    if (v !== 0 && (Math.abs(v) >= 1e6 || Math.abs(v) < 1e-4)) return v.toExponential(2);
    return String(+v.toPrecision(digits));
  };
  const clamp = (v) => Math.max(0, Math.min(1, v));
  const isBetter = (a, b) => (study.maximize ? a > b : a < b);

  // ---- scales ----

  const niceTicks = (low, high, whole, count = 5) => {
    if (!(high > low)) return [low];
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    let step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw);
    if (whole) step = Math.max(1, Math.round(step));
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-12) + 1e-300; k++)
      ticks.push(+(k * step).toPrecision(12));
    return ticks;
  };
  const logTicks = (low, high, whole) => {
    for (const factors of [[1], [1, 3], [1, 2, 5]]) {
      const ticks = [];
      for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
        for (const f of factors) {
          const v = +(f * 10 ** p).toPrecision(3);
          if (v >= low && v <= high && (!whole || Number.isInteger(v))) ticks.push(v);
        }
      if (ticks.length >= 3) return ticks;
    }
    return [low, high];
  };
  // `at` maps a value to 0..1; `ticks` are values with labels.
  const numberScale = (low, high, log, whole) => {
    const of = (v) => (log ? Math.log(v) : v);
    const [a, b] = [of(low), of(high)];
    const ticks = log ? logTicks(low, high, whole) : niceTicks(low, high, whole);
    return {
      at: (v) => (b > a ? clamp((of(v) - a) / (b - a)) : 0.5),
      shows: (v) => v >= low && v <= high,
      ticks: ticks.map((v) => [v, show(v, 4)]),
    };
  };
  const choiceScale = (choices) => ({
    at: (i) => (i + 0.5) / choices.length,
    ticks: choices.map((text, i) => [i, text]),
  });
  const paramScale = (p) =>
    p.choices ? choiceScale(p.choices) : numberScale(p.low, p.high, p.log && p.low > 0, p.int);
  const varies = (p) => (p.choices ? p.choices.length > 1 : p.high > p.low);
  // The range of the good scores: a few very bad ones would flatten all others.
  const focus = (values, better) => {
    const sorted = [...values].sort((a, b) => a - b);
    if (!sorted.length) return [0, 1];
    const q = (f) => sorted[Math.min(sorted.length - 1, Math.floor(f * sorted.length))];
    let [low, high] = better ? [q(0.1), q(1)] : [q(0), q(0.9)];
    if (!(high > low)) [low, high] = [sorted[0], sorted[sorted.length - 1]];
    if (!(high > low)) [low, high] = [low - Math.abs(low) * 0.01 - 1e-9, low + Math.abs(low) * 0.01 + 1e-9];
    const room = (high - low) * 0.04;
    return [low - room, high + room];
  };
  const scoreScale = () => {
    const scores = trials.filter((t) => t.state === "complete" && t.score !== null);
    const from = scores.length ? scores : trials.filter((t) => t.score !== null);
    const [low, high] = focus(from.map((t) => t.score), study.maximize);
    return numberScale(low, high, false, false);
  };

  // ---- tooltip and picking ----

  const tooltip = (text, event) => {
    const tip = find("tooltip");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  };
  const paramText = (t, i) => {
    const p = study.params[i], v = t.params[i];
    return v === null ? "–" : p.choices ? p.choices[v] : show(v, 4);
  };
  const describe = (t) => {
    const lines = [`trial ${t.number}, ${t.state}`];
    if (t.score !== null) lines.push(`${study.metric} ${show(t.score)} ± ${show(t.spread, 2)}`);
    study.params.slice(0, 14).forEach((p, i) => {
      if (t.params[i] !== null) lines.push(`${p.name} = ${paramText(t, i)}`);
    });
    if (t.error) lines.push(t.error);
    return lines.join("\n");
  };
  const pick = (number) => {
    ui.picked = ui.picked === number ? null : number;
    refresh();
  };
  // Describe the trial under the pointer; a click selects it.
  const makeInteractive = (svg) => {
    const trialOf = (event) => byNumber.get(+(event.target.dataset.trial ?? -1));
    svg.addEventListener("pointermove", (event) => {
      const t = trialOf(event);
      tooltip(t ? describe(t) : "", event);
    });
    svg.addEventListener("pointerleave", () => tooltip(""));
    svg.addEventListener("click", (event) => {
      const t = trialOf(event);
      if (t) pick(t.number);
    });
  };

  // ---- filters ----

  const FILTER = /^(.+?)(<=|>=|<|>|=)(.+)$/;
  const columnValue = (t, name) => {
    if (name === study.metric || name === "score") return t.score;
    if (["trial", "number"].includes(name)) return t.number;
    if (["state", "epoch", "epochs", "seconds", "spread"].includes(name)) return t[name];
    const i = study.params.findIndex((p) => p.name === name);
    if (i < 0 || t.params[i] === null) return null;
    return study.params[i].choices ? study.params[i].choices[t.params[i]] : t.params[i];
  };
  const passes = (t, word) => {
    const [, name, sign, wanted] = FILTER.exec(word) || [];
    if (!sign) return t.text.includes(word.toLowerCase());
    const value = columnValue(t, name);
    if (value === null) return false;
    const [a, b] = isNaN(wanted) || isNaN(value) ? [String(value), wanted] : [+value, +wanted];
    return { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b, "=": a === b }[sign];
  };
  const isShown = (t, words) =>
    !ui.hidden[t.state] &&
    words.every((word) => passes(t, word)) &&
    Object.values(ui.brushes).every(([low, high, y]) => {
      const at = y(t);
      return at !== null && at >= low && at <= high;
    });

  // ---- parallel coordinates ----

  const drawParallel = () => {
    const box = find("parallel");
    if (!box) return;
    const params = study.params.map((p, i) => ({ ...p, i })).filter(varies);
    const withScore = trials.filter(
      (t) => t.score !== null && ["complete", "pruned"].includes(t.state));
    if (!params.length || withScore.length < 2) {
      box.textContent = "Drawn once two trials with hyperparameters that differ have a score.";
      return;
    }
    const gap = Math.max(62, Math.min(190, (box.clientWidth - 120) / params.length));
    const letters = Math.min(13, Math.floor((gap - 8) / 6.5)); // of a tick, up to the next axis
    const [left, top, height] = [24, 44, 300], slot = top + height + 30;
    const width = left + gap * params.length + 96;
    const svg = make("svg", { width, height: slot + 24 });
    const axes = params.map((p, k) => {
      const scale = paramScale(p);
      const y = (t) =>
        t.params[p.i] === null ? slot : top + height * (1 - scale.at(t.params[p.i]));
      return { name: p.name, x: left + gap * k, y, scale };
    });
    const scale = scoreScale();
    axes.push({ name: study.metric, x: left + gap * params.length, scale,
      y: (t) => top + height * (1 - scale.at(t.score)) });
    const order = [...withScore].sort((a, b) => (isBetter(a.score, b.score) ? 1 : -1));
    const lines = make("g", {}, svg);
    order.forEach((t, rank) => {
      const d = axes.map((a, k) => `${k ? "L" : "M"}${a.x.toFixed(1)} ${a.y(t).toFixed(1)}`);
      const opacity = 0.12 + 0.75 * (rank / order.length) ** 3;
      const node = make("path", { d: d.join(""), class: `line ${t.state}`, "data-trial": t.number },
        lines);
      if (t.state === "complete") node.style.opacity = opacity.toFixed(2);
      if (t.number === study.winner) { node.classList.add("winner"); node.style.opacity = ""; }
    });
    const winner = lines.querySelector(".winner");
    if (winner) lines.append(winner);
    for (const axis of axes) {
      const g = make("g", {}, svg);
      make("line", { class: "axis", x1: axis.x, x2: axis.x, y1: top, y2: top + height }, g);
      const short = axis.name.length > 18 ? `${axis.name.slice(0, 17)}…` : axis.name;
      const title = make("text", { x: axis.x, y: axes.indexOf(axis) % 2 ? 14 : 30,
        "text-anchor": axes.indexOf(axis) ? "middle" : "start", class: "axis-name" }, g, short);
      make("title", {}, title, axis.name);
      for (const [v, text] of axis.scale.ticks) {
        const y = top + height * (1 - axis.scale.at(v));
        make("text", { class: "tick", x: axis.x + 5, y: y + 4 }, g,
          text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
      }
      if (withScore.some((t) => axis.y(t) === slot))
        make("text", { class: "tick", x: axis.x + 5, y: slot + 4 }, g, "not active");
      const area = make("rect", { class: "brush-area", x: axis.x - 12, width: 24, y: top - 6,
        height: slot - top + 16, "data-axis": axis.name }, g);
      addBrush(area, axis, g);
    }
    makeInteractive(svg);
    box.replaceChildren(svg);
  };
  const addBrush = (area, axis, parent) => {
    const mark = make("rect", { class: "brush", x: axis.x - 9, width: 18 }, parent);
    const place = () => {
      const [low, high] = ui.brushes[axis.name] || [0, 0];
      mark.setAttribute("y", low);
      mark.setAttribute("height", Math.max(0, high - low));
    };
    if (ui.brushes[axis.name]) ui.brushes[axis.name][2] = axis.y;
    place();
    const at = (event) => event.clientY - area.ownerSVGElement.getBoundingClientRect().top;
    let start = null, frame = 0;
    area.addEventListener("pointerdown", (event) => {
      start = at(event);
      area.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    area.addEventListener("pointermove", (event) => {
      if (start === null) return;
      event.stopPropagation();
      const end = at(event);
      ui.brushes[axis.name] = [Math.min(start, end), Math.max(start, end), axis.y];
      place();
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => dim());
    });
    area.addEventListener("pointerup", (event) => {
      if (start !== null && Math.abs(at(event) - start) < 4) delete ui.brushes[axis.name];
      start = null;
      place();
      refresh();
    });
  };

  // ---- scores by trial, and by hyperparameter ----

  const addAxes = (svg, box, x, y, names) => {
    make("rect", { class: "frame", x: box.x, y: box.y, width: box.w, height: box.h }, svg);
    for (const [v, text] of x.ticks)
      make("text", { class: "tick", x: box.x + box.w * x.at(v), y: box.y + box.h + 15,
        "text-anchor": "middle" }, svg, text.length > 9 ? `${text.slice(0, 8)}…` : text);
    for (const [v, text] of y.ticks)
      make("text", { class: "tick", x: box.x - 5, y: box.y + box.h * (1 - y.at(v)) + 4,
        "text-anchor": "end" }, svg, text);
    make("text", { class: "tick", x: box.x + box.w / 2, y: box.y + box.h + 31,
      "text-anchor": "middle" }, svg, names);
  };
  const addMarks = (svg, list, box, x, y, xOf) => {
    for (const t of list) {
      const bad = t.score === null;
      make("circle", {
        class: `mark ${t.state}${t.number === study.winner ? " winner" : ""}`,
        cx: (box.x + box.w * x.at(xOf(t))).toFixed(1),
        cy: (bad ? box.y + box.h * (study.maximize ? 1 : 0) : box.y + box.h * (1 - y.at(t.score)))
          .toFixed(1),
        r: t.number === study.winner ? 5.5 : list.length > 300 ? 2.2 : 3.6, "data-trial": t.number,
      }, svg);
    }
  };
  // Predictions of the sampler's model: a band over numbers, an interval at each choice.
  const addBelief = (svg, p, box, x, y) => {
    const { at, mean, low, high } = p.belief;
    const px = (v) => (box.x + box.w * x.at(v)).toFixed(1);
    const py = (v) => (box.y + box.h * (1 - y.at(v))).toFixed(1);
    if (p.choices) {
      at.forEach((v, k) => {
        make("line", { class: "belief", x1: px(v), x2: px(v), y1: py(low[k]), y2: py(high[k]) }, svg);
        if (y.shows(mean[k])) make("line", { class: "belief mean", x1: px(v) - 7, x2: +px(v) + 7, y1: py(mean[k]),
          y2: py(mean[k]) }, svg);
      });
      return;
    }
    const path = (values) => at.map((v, k) => `${px(v)} ${py(values[k])}`);
    make("path", { class: "belief band",
      d: `M${[...path(high), ...path(low).reverse()].join("L")}Z` }, svg);
    const line = path(mean).map((point, k) =>
      y.shows(mean[k]) ? `${k && y.shows(mean[k - 1]) ? "L" : "M"}${point}` : "");
    make("path", { class: "belief mean", d: line.join("") || "M0 0" }, svg);
  };
  const ENDED = ["complete", "pruned", "failed"];
  const drawHistory = () => {
    const holder = find("history");
    const ended = trials.filter((t) => ENDED.includes(t.state));
    if (!holder || !ended.length) return;
    const width = Math.max(500, holder.clientWidth - 36), height = 280;
    const box = { x: 64, y: 8, w: width - 80, h: height - 52 };
    const svg = make("svg", { width, height });
    const x = numberScale(0, Math.max(1, ...ended.map((t) => t.number)), false, true);
    const y = scoreScale();
    addAxes(svg, box, x, y, `trial; upwards: ${study.metric}`);
    let best = null;
    const steps = [];
    const at = (v) => box.y + box.h * (1 - y.at(v));
    for (const t of ended.filter((t) => t.state === "complete" && t.score !== null)) {
      const px = box.x + box.w * x.at(t.number);
      if (best === null || isBetter(t.score, best)) {
        if (best !== null) steps.push(`${px} ${at(best)}`);
        best = t.score;
      }
      steps.push(`${px} ${at(best)}`);
    }
    if (steps.length) make("path", { class: "best-line", d: `M${steps.join("L")}` }, svg);
    addMarks(svg, ended, box, x, y, (t) => t.number);
    makeInteractive(svg);
    holder.replaceChildren(svg);
  };
  const drawTimeline = () => {
    const holder = find("timeline"), { spans, pauses, rows } = study.timeline;
    if (!holder || !spans.length) return;
    const row = Math.max(5, Math.min(18, 260 / rows));
    const width = Math.max(500, holder.clientWidth - 36), height = rows * row + 48;
    const box = { x: 64, y: 8, w: width - 80, h: rows * row };
    const svg = make("svg", { width, height });
    const end = Math.max(...spans.map((s) => s[2]), 0.01);
    const [unit, name] = end > 7200 ? [3600, "hours"] : end > 180 ? [60, "minutes"] : [1, "seconds"];
    const x = numberScale(0, end / unit, false, false);
    addAxes(svg, box, x, { ticks: [] }, name);
    const px = (s) => box.x + box.w * x.at(s / unit);
    for (const at of pauses)
      make("line", { class: "cursor", x1: px(at), x2: px(at), y1: box.y, y2: box.y + box.h }, svg);
    for (const [number, start, stop, at] of spans) {
      const t = byNumber.get(number);
      if (!t) continue;
      make("rect", { class: `mark ${t.state}${number === study.winner ? " winner" : ""}`,
        x: px(start).toFixed(1), width: Math.max(1, px(stop) - px(start) - 0.5).toFixed(1),
        y: (box.y + at * row + 0.5).toFixed(1), height: row - 1, "data-trial": number }, svg);
    }
    makeInteractive(svg);
    holder.replaceChildren(svg);
  };
  const drawSlices = () => {
    const holder = find("slices");
    const scored = trials.filter((t) => t.score !== null && ENDED.includes(t.state));
    if (!holder || scored.length < 4) return;
    holder.replaceChildren();
    const y = scoreScale();
    study.params.map((p, i) => ({ ...p, i })).filter(varies).slice(0, 24).forEach((p) => {
      const card = element("div", { class: "box pad" }, holder);
      const svg = make("svg", { viewBox: "0 0 270 190", width: "100%" }, card);
      const box = { x: 50, y: 8, w: 208, h: 136 };
      const x = paramScale(p);
      if (x.ticks.length > 6) {
        const step = Math.ceil(x.ticks.length / 5);
        x.ticks = x.ticks.filter((_, i) => i % step === 0);
      }
      addAxes(svg, box, x, y, p.name);
      if (p.belief) addBelief(svg, p, box, x, y);
      addMarks(svg, scored.filter((t) => t.params[p.i] !== null), box, x, y, (t) => t.params[p.i]);
      makeInteractive(svg);
    });
  };

  // ---- curves over epochs ----

  // Every series: name, epochs, mean, low, high. Only series that are "on" have a band.
  const drawCurves = (holder, series, label, isOn) => {
    if (!holder || !series.length) return;
    const width = Math.max(360, holder.clientWidth - 36), height = 300;
    const box = { x: 64, y: 8, w: width - 80, h: height - 52 };
    const svg = make("svg", { width, height });
    const values = series.flatMap((s) => [...s.mean, ...s.low, ...s.high]).filter((v) => v !== null);
    const [low, high] = focus(values, label === "loss" ? false : study.maximize);
    const last = Math.max(...series.map((s) => s.epochs[s.epochs.length - 1]));
    const x = numberScale(1, last, false, true);
    const y = numberScale(low, high, false, false);
    addAxes(svg, box, x, y, `epoch; upwards: ${label}`);
    const px = (e) => box.x + box.w * (last > 1 ? x.at(e) : 0.5);
    const py = (v) => box.y + box.h * (1 - y.at(v));
    const path = (s, key) => s.epochs.map((e, i) => [e, s[key][i]]).filter(([, v]) => v !== null)
      .map(([e, v]) => `${px(e).toFixed(1)} ${py(v).toFixed(1)}`);
    const bands = make("g", {}, svg), lines = make("g", {}, svg);
    const nodes = series.map((s, k) => {
      const points = path(s, "mean");
      const around = [...path(s, "high"), ...path(s, "low").reverse()];
      return {
        line: make("path", { class: `series s${k}`, d: `M${points.join("L")}`,
          "data-series": s.name }, lines),
        band: make("path", { class: `band s${k}`, d: `M${around.join("L")}Z`,
          "data-series": s.name }, bands),
        dot: points.length === 1 ? make("circle", { class: "mark", r: 3.5,
          cx: points[0].split(" ")[0], cy: points[0].split(" ")[1] }, lines) : null,
      };
    });
    const mark = (hovered) => series.forEach((s, k) => {
      const on = hovered ? hovered === s : isOn(s);
      nodes[k].line.classList.toggle("on", on);
      nodes[k].band.style.display = on ? "" : "none";
    });
    const cursor = make("line", { class: "cursor", y1: box.y, y2: box.y + box.h }, svg);
    cursor.style.display = "none";
    svg.addEventListener("pointermove", (event) => {
      const area = svg.getBoundingClientRect();
      const [mx, my] = [event.clientX - area.left, event.clientY - area.top];
      let found = null;
      for (const s of series)
        s.epochs.forEach((e, i) => {
          if (s.mean[i] === null) return;
          const far = Math.abs(px(e) - mx) * 3 + Math.abs(py(s.mean[i]) - my);
          if (!found || far < found.far) found = { far, s, i, e };
        });
      if (!found) return;
      cursor.style.display = "";
      cursor.setAttribute("x1", px(found.e));
      cursor.setAttribute("x2", px(found.e));
      mark(found.s);
      const { s, i, e } = found;
      tooltip(`${s.name}, epoch ${e}${e === s.best ? " (its best)" : ""}\n${label} ` +
        `${show(s.mean[i])}, folds ${show(s.low[i])} to ${show(s.high[i])}`, event);
    });
    svg.addEventListener("pointerleave", () => {
      cursor.style.display = "none";
      mark(null);
      tooltip("");
    });
    mark(null);
    holder.replaceChildren(svg);
  };

  // ---- the table ----

  const columns = () => [
    { key: "trial", of: (t) => t.number },
    { key: "state", of: (t) => t.state },
    { key: "score", title: study.metric, of: (t) => t.score },
    { key: "spread", title: "±", of: (t) => t.spread, digits: 2 },
    ...study.others.map((name, i) => ({ key: `other${i}`, title: name, of: (t) => t.others[i] })),
    { key: "epoch", title: "best epoch", of: (t) => t.epoch },
    { key: "epochs", of: (t) => t.epochs },
    { key: "seconds", of: (t) => t.seconds, digits: 3 },
    ...study.params.map((p, i) => ({
      key: `param:${p.name}`, title: p.name, of: (t) => t.params[i], text: (t) => paramText(t, i),
    })),
  ];
  const sorted = (list) => {
    const column = columns().find((c) => c.key === ui.sort) || columns()[2];
    const falling = ui.descending ?? (column.key === "score" && study.maximize);
    return [...list].sort((a, b) => {
      const [x, y] = [column.of(a), column.of(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a.number - b.number;
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return (falling ? -order : order) || a.number - b.number;
    });
  };
  const drawTable = (shown) => {
    const table = find("trials");
    if (!table) return;
    const every = columns();
    const head = element("tr");
    for (const c of every) {
      const th = element("th", { "data-key": c.key, title: "click to sort" }, head,
        c.title ?? c.key);
      if (c.key === ui.sort) {
        const falling = ui.descending ?? (c.key === "score" && study.maximize);
        th.setAttribute("aria-sort", falling ? "descending" : "ascending");
      }
      th.addEventListener("click", () => {
        const first = c.key === "score" && study.maximize;
        ui.descending = ui.sort === c.key ? !(ui.descending ?? first) : first;
        ui.sort = c.key;
        refresh();
      });
    }
    table.tHead.replaceChildren(head);
    const body = document.createDocumentFragment();
    for (const t of sorted(shown)) {
      const row = element("tr", { "data-trial": t.number }, body);
      if (t.number === study.winner) row.classList.add("winner");
      if (t.number === ui.picked) row.classList.add("picked");
      if (t.error) row.title = t.error;
      for (const c of every) {
        const cell = element("td", {}, row);
        if (c.key === "state") element("span", { class: `state ${t.state}` }, cell, t.state);
        else cell.textContent = c.text ? c.text(t) : show(c.of(t), c.digits ?? 5);
      }
    }
    table.tBodies[0].replaceChildren(body);
    const left = study.leftOut ? `; the ${study.leftOut} worst are left out of this page` : "";
    find("count").textContent = `${shown.length} of ${trials.length} trials${left}`;
  };
  const drawStates = () => {
    const holder = find("states");
    if (!holder) return;
    holder.replaceChildren();
    for (const state of TABLE_STATES.filter((s) => trials.some((t) => t.state === s))) {
      const label = element("label", {}, holder);
      const box = element("input", { type: "checkbox", "data-state": state }, label);
      box.checked = !ui.hidden[state];
      box.addEventListener("change", () => {
        ui.hidden[state] = !box.checked;
        refresh();
      });
      label.append(` ${state} (${trials.filter((t) => t.state === state).length})`);
    }
  };

  // ---- all together ----

  const dim = () => {
    const words = ui.text.split(/\s+/).filter(Boolean);
    const shown = trials.filter((t) => isShown(t, words));
    const numbers = new Set(shown.map((t) => t.number));
    for (const node of document.querySelectorAll("[data-trial].line, [data-trial].mark")) {
      const number = +node.dataset.trial;
      node.classList.toggle("off", !numbers.has(number));
      node.classList.toggle("picked", number === ui.picked);
    }
    return shown;
  };
  const refresh = () => {
    drawTable(dim());
    const on = ui.picked ?? study.winner;
    drawCurves(find("curves"), study.curves, study.metric, (s) => s.trial === on);
    drawCurves(find("losses"), study.losses, "loss", () => true);
  };
  const readTrials = () => {
    const n = study.others.length;
    trials = study.rows.map((r) => {
      const t = { number: r[0], state: r[1], score: r[2], spread: r[3], others: r.slice(4, 4 + n),
        epoch: r[4 + n], epochs: r[5 + n], seconds: r[6 + n], error: r[7 + n],
        params: r.slice(8 + n) };
      t.text = [`trial-${String(t.number).padStart(3, "0")}`, t.state, t.error,
        ...study.params.map((p, i) => (p.choices && t.params[i] !== null ? p.choices[t.params[i]] : ""))]
        .join(" ").toLowerCase();
      return t;
    });
    byNumber = new Map(trials.map((t) => [t.number, t]));
  };
  const drawAll = () => {
    study = JSON.parse(find("study-data").textContent);
    readTrials();
    for (const draw of [drawParallel, drawHistory, drawTimeline, drawSlices, drawStates]) draw();
    const filter = find("filter");
    if (filter) {
      filter.value = ui.text;
      filter.addEventListener("input", () => {
        ui.text = filter.value;
        refresh();
      });
      find("reset").addEventListener("click", () => {
        Object.assign(ui, { text: "", hidden: {}, brushes: {}, picked: null });
        filter.value = "";
        drawParallel();
        drawStates();
        refresh();
      });
      find("trials").tBodies[0].addEventListener("click", (event) => {
        const row = event.target.closest("tr");
        if (row) pick(+row.dataset.trial);
      });
    }
    refresh();
  };

  // ---- a live page ----

  let tag = document.body.dataset.tag, misses = 0;
  const takeOver = (text) => {
    const newer = new DOMParser().parseFromString(text, "text/html");
    const filter = find("filter");
    const top = scrollY;
    const typing = filter && document.activeElement === filter && filter.selectionStart;
    find("study-data").textContent = newer.getElementById("study-data").textContent;
    document.querySelector("main").replaceWith(newer.querySelector("main"));
    document.title = newer.title;
    drawAll();
    scrollTo(0, top);
    if (typing !== null && typing !== false) {
      find("filter").focus();
      find("filter").setSelectionRange(typing, typing);
    }
  };
  const poll = async () => {
    const line = () => find("connection");
    try {
      const answer = await fetch(location.pathname, {
        headers: { "If-None-Match": tag }, cache: "no-store" });
      misses = 0;
      const text = await answer.text();
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        takeOver(text);
      }
      if (line()) line().textContent = answer.status < 400 ? "" : text;
    } catch {
      misses += 1;
      if (line()) line().textContent = "This page is no longer live: hpsearch watch has ended.";
    }
    setTimeout(poll, Math.min(10000, 700 * 2 ** misses));
  };

  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      ui.brushes = {};
      for (const draw of [drawParallel, drawHistory, drawTimeline, refresh]) draw();
    }, 150);
  });
  drawAll();
  if (tag) setTimeout(poll, 700);
})();
