// Draw the figures of a page from the subset of Plotly's JSON that hpsearch uses: lines, markers,
// bars, heat maps, and contours as cells. The pointer shows values, a click on the legend hides a
// trace, dragging zooms into a figure, a double click shows all of it.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const WIDTH = 1060, GAP = { l: 84, r: 24, t: 16, b: 56 };
  const CYCLE = ["#636efa", "#ef553b", "#00cc96", "#ab63fa", "#ffa15a", "#19d3f3", "#ff6692"];
  const SCALES = {
    Blues: ["#f7fbff", "#6baed6", "#08306b"],
    plain: ["#f7fbff", "#6baed6", "#08306b"],
  };
  const bytes = { f8: Float64Array, f4: Float32Array, i1: Int8Array, i2: Int16Array,
    i4: Int32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

  // Plotly writes arrays of NumPy as base64.
  const list = (v) => {
    if (v === undefined || v === null) return [];
    if (!v.bdata) return v;
    const raw = Uint8Array.from(atob(v.bdata), (c) => c.charCodeAt(0));
    const flat = Array.from(new bytes[v.dtype](raw.buffer));
    const [rows, columns] = String(v.shape || "").split(",").map(Number);
    if (!columns) return flat;
    return Array.from({ length: rows }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
  };
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const plain = (text) => String(text).replace(/<br\s*\/?>/g, "\n").replace(/<[^>]+>/g, "");
  const short = (v) => {
    if (typeof v !== "number") return String(v);
    if (v !== 0 && (Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3)) return v.toExponential(2);
    return String(+v.toPrecision(5));
  };
  const channels = (c) => {
    if (c.startsWith("#")) return [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
    return (c.match(/[\d.]+/g) || [80, 80, 80]).slice(0, 3).map(Number);
  };
  const shade = (scale, t) => {
    const stops = Array.isArray(scale)
      ? scale.map((s, i) => (Array.isArray(s) ? s : [i / (scale.length - 1), s]))
      : (SCALES[scale] || SCALES.plain).map((c, i, all) => [i / (all.length - 1), c]);
    const x = Math.min(1, Math.max(0, t));
    let i = stops.findIndex((s) => s[0] >= x);
    i = Math.max(1, i < 0 ? stops.length - 1 : i);
    const [[a, from], [b, to]] = [stops[i - 1], stops[i]];
    const part = b > a ? (x - a) / (b - a) : 0;
    const [one, two] = [channels(from), channels(to)];
    return `rgb(${one.map((v, k) => Math.round(v + (two[k] - v) * part)).join()})`;
  };

  const time = (v) => (typeof v === "number" ? v
    : Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(v) ? v : `${v.replace(" ", "T")}Z`));
  // The range of a trace on an axis.
  const values = (trace, which) => {
    const own = list(trace[which]), base = list(trace.base);
    const along = trace.type === "bar" && (trace.orientation === "h") === (which === "x");
    if (!along) return own;
    return base.length ? base.flatMap((b, i) => [b, time(b) + own[i]]) : [...own, 0];
  };

  // An axis: maps a value to a position between 0 and 1, and has ticks.
  const axis = (layout, values) => {
    let kind = layout.type;
    const dated = (v) => typeof v === "string" && /^\d{4}-\d\d-\d\d[T ]/.test(v);
    if (!kind) {
      const given = values.filter((v) => v !== null && v !== undefined);
      if (given.length && given.every(dated)) kind = "date";
      else if (given.some((v) => typeof v === "string" && isNaN(+v))) kind = "category";
    }
    if (kind === "category") {
      const names = [...new Set([...list(layout.categoryarray), ...values].map(String))];
      const order = layout.autorange === "reversed" ? names.slice().reverse() : names;
      const at = new Map(order.map((n, i) => [n, (i + 0.5) / order.length]));
      const step = Math.ceil(order.length / 30);
      return { kind, place: (v) => at.get(String(v)), width: 1 / order.length,
        ticks: order.filter((_, i) => i % step === 0).map((n) => [at.get(n), n]) };
    }
    const number = kind === "date" ? time
      : kind === "log" ? (v) => Math.log10(+v) : (v) => +v;
    const known = values.map(number).filter(Number.isFinite);
    let [low, high] = list(layout.range).length ? list(layout.range).map(kind === "date" ? number
      : Number) : [Math.min(...known), Math.max(...known)];
    if (!known.length) [low, high] = [0, 1];
    if (!list(layout.range).length) {
      const pad = (high - low || Math.abs(high) || 1) * 0.04;
      [low, high] = [low - pad, high + pad];
    }
    const raw = (high - low) / 6, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const ticks = [];
    if (list(layout.tickvals).length) {
      const names = list(layout.ticktext);
      list(layout.tickvals).forEach((v, i) => ticks.push([(number(v) - low) / (high - low),
        names[i] ?? short(v)]));
    } else if (kind === "log") {
      const marks = high - low < 2.5 ? [1, 2, 5] : [1];
      for (let d = Math.floor(low); d <= Math.ceil(high); d++) for (const m of marks) {
        ticks.push([(d + Math.log10(m) - low) / (high - low), short(+(m * 10 ** d).toPrecision(3))]);
      }
    } else {
      for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) {
        const told = kind === "date" ? new Date(v).toISOString().slice(11, 19)
          : short(+v.toPrecision(12));
        ticks.push([(v - low) / (high - low), told]);
      }
    }
    return { kind: kind || "linear", place: (v) => (number(v) - low) / (high - low),
      ticks: ticks.filter(([t]) => t > -1e-9 && t < 1 + 1e-9),
      width: kind ? 0 : 1 / (high - low) };
  };

  const tooltip = document.createElement("div");
  tooltip.style.cssText = "position:fixed;pointer-events:none;background:#222;color:#fff;" +
    "font:12px system-ui;padding:4px 8px;border-radius:4px;white-space:pre;display:none;z-index:9";
  const hover = (node, text) => {
    node.addEventListener("pointermove", (e) => {
      tooltip.textContent = text();
      tooltip.style.display = "block";
      tooltip.style.left = `${Math.min(e.clientX + 14, innerWidth - 260)}px`;
      tooltip.style.top = `${e.clientY + 14}px`;
    });
    node.addEventListener("pointerleave", () => { tooltip.style.display = "none"; });
  };
  const filled = (template, trace, i, x, y) => plain(template).replace(
    /%\{(\w+)(?:\[(\d+)\])?(?::[^}]*)?\}/g, (all, name, k) => {
      if (name === "x") return short(x);
      if (name === "y") return short(y);
      const own = list(trace[name]);
      const value = k === undefined ? own[i] : list(own[i])[+k];
      return value === undefined ? all : short(value);
    });
  const told = (trace, i, x, y) => {
    if (trace.hovertemplate) return filled(trace.hovertemplate, trace, i, x, y);
    const text = Array.isArray(trace.text) ? trace.text[i] : trace.text;
    return [trace.name, `${short(x)}, ${short(y)}`, text === undefined ? null : plain(text)]
      .filter((part) => part).join("\n");
  };

  const draw = (svg, figure, hidden, height, redraw) => {
    svg.replaceChildren();
    const { data, layout } = figure;
    const names = data.map((t) => t.name).filter((n, i, all) => n && all.indexOf(n) === i);
    const shown = names.filter((n) => data.some((t) => t.name === n && t.showlegend !== false));
    const legend = layout.showlegend !== false && shown.length > 1 && shown.length <= 24;
    const wide = WIDTH - GAP.l - GAP.r - (legend ? 170 : 0), high = height - GAP.t - GAP.b;
    const panels = new Map();
    data.forEach((trace, i) => {
      const key = `${trace.xaxis || "x"} ${trace.yaxis || "y"}`;
      panels.set(key, [...(panels.get(key) || []), [trace, i]]);
    });
    for (const [key, traces] of panels) {
      const [xa, ya] = key.split(" ").map((n) => layout[`${n[0]}axis${n.slice(1)}`] || {});
      const [x0, x1] = xa.domain || [0, 1], [y0, y1] = ya.domain || [0, 1];
      const all = (which) => (ya.matches && which === "y" ? data : traces.map(([t]) => t))
        .flatMap((t) => values(t, which)).filter((v) => v !== null);
      const X = axis(xa, all("x")), Y = axis(ya, all("y"));
      const left = GAP.l + wide * x0, width = wide * (x1 - x0);
      const top = GAP.t + high * (1 - y1), tall = high * (y1 - y0);
      const px = (v) => left + width * X.place(v), py = (v) => top + tall * (1 - Y.place(v));
      frame(svg, xa, ya, X, Y, { left, width, top, tall });
      const box = make("svg", { x: left, y: top, width, height: tall, overflow: "hidden" }, svg);
      const inner = make("g", { transform: `translate(${-left} ${-top})` }, box);
      for (const [trace, i] of traces) {
        if (hidden.has(trace.name)) continue;
        const colour = CYCLE[i % CYCLE.length];
        const kind = trace.type || "scatter";
        if (kind === "bar") bars(inner, trace, colour, X, Y, px, py, { width, tall });
        else if (kind === "heatmap" || kind === "contour") cells(inner, trace, px, py, X, Y,
          { left, width, top, tall });
        else scatter(inner, trace, colour, px, py);
      }
    }
    for (const note of layout.annotations || []) {
      if (note.xref && !/^(x|paper)$/.test(note.xref)) continue;
      const xs = layout.xaxis || {}, ys = layout.yaxis || {};
      const X = axis(xs, data.flatMap((t) => values(t, "x")))
      const Y = axis(ys, data.flatMap((t) => values(t, "y")));
      const paper = (ref, v, A) => (ref === "paper" ? v : A.place(v));
      make("text", { x: GAP.l + wide * paper(note.xref, note.x, X) + (note.xshift || 0),
        y: GAP.t + high * (1 - paper(note.yref, note.y, Y)) - (note.yshift || 0),
        "text-anchor": { right: "end", left: "start" }[note.xanchor] || "middle",
        "font-size": note.font?.size || 11, fill: note.font?.color || "#333",
        stroke: "#fff", "stroke-width": 3, "paint-order": "stroke" }, svg, plain(note.text));
    }
    if (legend) shown.forEach((name, row) => {
      const i = data.findIndex((t) => t.name === name);
      const entry = make("g", { transform: `translate(${WIDTH - 170} ${GAP.t + 8 + 18 * row})`,
        style: "cursor:pointer", opacity: hidden.has(name) ? 0.35 : 1 }, svg);
      const own = data[i].line?.color || data[i].marker?.color;
      make("rect", { x: 0, y: -9, width: 12, height: 12,
        fill: typeof own === "string" ? own : CYCLE[i % CYCLE.length] }, entry);
      make("text", { x: 18, y: 2, "font-size": 12, fill: "#333" }, entry, plain(name));
      entry.addEventListener("click", () => {
        hidden.has(name) ? hidden.delete(name) : hidden.add(name);
        redraw();
      });
    });
  };
  const frame = (svg, xa, ya, X, Y, { left, width, top, tall }) => {
    const text = { "font-size": 11, fill: "#555" };
    make("rect", { x: left, y: top, width, height: tall, fill: "none", stroke: "#ccc" }, svg);
    const few = Math.max(1, Math.ceil(X.ticks.length / Math.max(2, width / 70)));
    if (xa.showticklabels !== false && xa.visible !== false) X.ticks.forEach(([t, name], i) => {
      if (i % few) return;
      make("text", { ...text, x: left + width * t, y: top + tall + 16, "text-anchor": "middle" },
        svg, plain(name).slice(0, 24));
    });
    if (ya.showticklabels !== false && ya.visible !== false) Y.ticks.forEach(([t, name]) => {
      const y = top + tall * (1 - t);
      make("line", { x1: left, x2: left + width, y1: y, y2: y, stroke: "#eee" }, svg);
      make("text", { ...text, x: left - 6, y: y + 4, "text-anchor": "end" }, svg,
        plain(name).slice(0, 18));
    });
    make("text", { ...text, x: left + width / 2, y: top + tall + 38, "text-anchor": "middle",
      "font-size": 12 }, svg, plain(xa.title?.text || ""));
    if (ya.title?.text) make("text", { ...text, "text-anchor": "middle", "font-size": 12,
      transform: `translate(${left - 64} ${top + tall / 2}) rotate(-90)` }, svg,
    plain(ya.title.text));
  };

  const scatter = (parent, trace, colour, px, py) => {
    const xs = list(trace.x), ys = list(trace.y), mode = trace.mode || "lines+markers";
    const line = trace.line || {}, marker = trace.marker || {};
    const at = xs.map((x, i) => [px(x), py(ys[i])]);
    const there = (p) => p.every(Number.isFinite);
    if (mode.includes("lines")) {
      let path = "", pen = false;
      for (const p of at) {
        if (there(p)) path += `${pen ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`;
        pen = there(p);
      }
      const drawn = make("path", { d: path, fill: "none", stroke: line.color || colour,
        "stroke-width": line.width || 1.8, opacity: trace.opacity ?? 1,
        "stroke-dasharray": { dot: "2 4", dash: "8 5" }[line.dash] || "none" }, parent);
      hover(drawn, () => told(trace, 0, xs[xs.length - 1], ys[ys.length - 1]));
    }
    if (mode.includes("markers")) {
      const colours = list(marker.color), own = Array.isArray(colours) && colours.length;
      const numbers = own ? colours.filter((c) => typeof c === "number") : [];
      const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
      at.forEach((p, i) => {
        if (!there(p)) return;
        const c = own ? colours[i] : null;
        const fill = typeof c === "number"
          ? shade(marker.reversescale ? null : marker.colorscale, (c - low) / (high - low || 1))
          : c || (typeof marker.color === "string" ? marker.color : line.color || colour);
        const dot = make("circle", { cx: p[0].toFixed(1), cy: p[1].toFixed(1), fill,
          r: Math.max(2, (typeof marker.size === "number" ? marker.size : 6) / 2),
          opacity: trace.opacity ?? marker.opacity ?? 0.85 }, parent);
        hover(dot, () => told(trace, i, xs[i], ys[i]));
      });
    }
  };

  const bars = (parent, trace, colour, X, Y, px, py, { width, tall }) => {
    const xs = list(trace.x), ys = list(trace.y), base = list(trace.base);
    const lying = trace.orientation === "h";
    const along = lying ? Y : X, room = lying ? tall : width;
    const thick = Math.max(2, 0.8 * (along.width * room || room / (xs.length * 1.4 + 1)));
    xs.forEach((x, i) => {
      const y = ys[i];
      const from = base.length ? px(base[i]) : lying ? px(0) : py(0);
      const to = base.length ? px(time(base[i]) + x) : lying ? px(x) : py(y);
      const mid = lying ? py(y) : px(x);
      if (![from, to, mid].every(Number.isFinite)) return;
      const size = Math.max(1, Math.abs(to - from)), start = Math.min(from, to);
      const own = trace.marker?.color;
      const bar = make("rect", { ...(lying
        ? { x: start, y: mid - thick / 2, width: size, height: thick }
        : { x: mid - thick / 2, y: start, width: thick, height: size }),
      fill: typeof own === "string" ? own : colour, opacity: 0.9 }, parent);
      hover(bar, () => told(trace, i, x, y));
      const error = list(trace.error_x?.array)[i];
      if (lying && error) make("line", { x1: px(x - error), x2: px(x + error), y1: mid, y2: mid,
        stroke: "#333" }, parent);
    });
  };

  const cells = (parent, trace, px, py, X, Y, { left, width, top, tall }) => {
    const xs = list(trace.x), ys = list(trace.y), rows = list(trace.z).map(list);
    if (trace.connectgaps) return surface(parent, trace, px, py, { left, width, top, tall });
    const values = rows.flat().filter((v) => typeof v === "number" && isFinite(v));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const edges = (at, from, size) => at.map((p, i) => [
      i ? (at[i - 1] + p) / 2 : at.length > 1 ? p - (at[1] - p) / 2 : from,
      i + 1 < at.length ? (p + at[i + 1]) / 2 : at.length > 1 ? p + (p - at[i - 1]) / 2
        : from + size,
    ]);
    const across = edges(xs.map(px), left, width), up = edges(ys.map(py), top, tall);
    rows.forEach((row, j) => row.forEach((v, i) => {
      if (typeof v !== "number" || !isFinite(v)) return;
      const [a, b] = across[i], [c, d] = up[j];
      const t = (v - low) / (high - low || 1);
      const cell = make("rect", { x: Math.min(a, b), y: Math.min(c, d), width: Math.abs(b - a) + 0.5,
        height: Math.abs(d - c) + 0.5,
        fill: shade(trace.colorscale, trace.reversescale ? 1 - t : t) }, parent);
      hover(cell, () => `${short(xs[i])}, ${short(ys[j])}\n${short(v)}`);
      const text = list(trace.text)[j];
      if (text) make("text", { x: (a + b) / 2, y: (c + d) / 2 + 5, "text-anchor": "middle",
        "font-size": 13, fill: t > 0.55 ? "#fff" : "#222", "pointer-events": "none" }, parent,
      list(text)[i]);
    }));
  };

  // Interpolate the known points of a grid by inverse distance.
  const surface = (parent, trace, px, py, { left, width, top, tall }) => {
    const xs = list(trace.x), ys = list(trace.y), known = [];
    list(trace.z).map(list).forEach((row, j) => row.forEach((v, i) => {
      if (typeof v === "number" && isFinite(v)) known.push([px(xs[i]), py(ys[j]), v]);
    }));
    const [low, high] = [Math.min(...known.map((k) => k[2])), Math.max(...known.map((k) => k[2]))];
    const columns = 60, rows = 36, w = width / columns, h = tall / rows;
    for (let i = 0; i < columns; i++) for (let j = 0; j < rows; j++) {
      const x = left + (i + 0.5) * w, y = top + (j + 0.5) * h;
      let sum = 0, weight = 0;
      for (const [a, b, v] of known) {
        const near = 1 / (((x - a) / width) ** 2 + ((y - b) / tall) ** 2 + 1e-4) ** 1.5;
        [sum, weight] = [sum + near * v, weight + near];
      }
      const value = sum / weight, t = (value - low) / (high - low || 1);
      const cell = make("rect", { x: left + i * w, y: top + j * h, width: w + 0.5, height: h + 0.5,
        fill: shade(trace.colorscale, trace.reversescale ? 1 - t : t) }, parent);
      hover(cell, () => `about ${short(value)}`);
    }
  };

  // Zooming changes the view box only: everything is drawn already.
  const zoomable = (svg, height) => {
    const whole = `0 0 ${WIDTH} ${height}`;
    svg.setAttribute("viewBox", whole);
    let from = null;
    const at = (e) => new DOMPoint(e.clientX, e.clientY).matrixTransform(
      svg.getScreenCTM().inverse());
    svg.addEventListener("pointerdown", (e) => { from = at(e); });
    svg.addEventListener("pointerup", (e) => {
      const to = at(e);
      if (from && Math.abs(to.x - from.x) > 12 && Math.abs(to.y - from.y) > 12) {
        svg.setAttribute("viewBox", [Math.min(from.x, to.x), Math.min(from.y, to.y),
          Math.abs(to.x - from.x), Math.abs(to.y - from.y)].join(" "));
      }
      from = null;
    });
    svg.addEventListener("dblclick", () => svg.setAttribute("viewBox", whole));
  };

  document.body.append(tooltip);
  for (const holder of document.querySelectorAll("script[type='application/json']")) {
    const figure = JSON.parse(holder.textContent), height = figure.layout.height || 480;
    const svg = make("svg", { width: "100%", style: "max-width:1060px;user-select:none" });
    const hidden = new Set();
    const redraw = () => draw(svg, figure, hidden, height, redraw);
    zoomable(svg, height);
    redraw();
    holder.after(svg);
  }
})();
