/* Answers in words: makes the parts of the page that say something. All text is put in as text. */

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function metres(distance) {
  if (distance < 1) return "under 1\u00a0m";
  if (distance < 1000) return `${Math.round(distance)}\u00a0m`;
  return `${(distance / 1000).toLocaleString("en-GB", { maximumFractionDigits: distance < 100_000 ? 1 : 0 })}\u00a0km`;
}

/* Never "100 %" of what is a little less, nor "0 %" of what is a little more. */
export function percent(part) {
  if (part > 0 && part < 0.001) return "under 0.1\u00a0%";
  if (part > 0.999 && part < 1) return "over 99.9\u00a0%";
  return `${(part * 100).toLocaleString("en-GB", { maximumFractionDigits: 1 })}\u00a0%`;
}

/* One sentence or two, for who hears the page. `asked` is what was asked about, in words. */
export function summary(found, names) {
  if (found.outside) return "This place is in no force's area.";
  const told = [`${names(found.owningForce)}, confidence ${percent(found.confidence)}.`];
  if (found.ask) told.unshift(`Too close to say. ${question(found)}`);
  if (found.borderMetres !== null) told.push(`Nearest border ${metres(found.borderMetres)}.`);
  return told.join(" ");
}

export function question(found) {
  return found.question ?? "Ask the caller which side of the border it is.";
}

export function answer(found, asked, names, swatch) {
  return [
    found.ask ? el("div", { className: "ask" }, el("strong", {}, "Too close to say: ask"), el("p", {}, question(found))) : null,
    found.outside ? nobody() : owner(found, names, swatch),
    found.candidates.length > 1 || found.candidates[0]?.share < 1 ? candidates(found, names, swatch) : null,
    facts(found, asked, names),
  ].filter(Boolean);
}

function nobody() {
  return [el("p", { className: "owner" }, "No force"), el("p", {}, "This place is in no force's area: at sea, or outside England and Wales.")];
}

function owner(found, names, swatch) {
  const standing = found.member ? "a party to this alliance" : "not a party to this alliance";
  return [
    el("p", { className: "owner" }, swatch(found.owningForce), names(found.owningForce)),
    el("p", {}, found.ask ? `has the largest share; ${standing}` : `owns this place; ${standing}`),
  ];
}

function candidates(found, names, swatch) {
  const rows = found.candidates.map((one) =>
    el("tr", {}, el("th", { scope: "row" }, swatch(one.force), names(one.force)), el("td", {}, percent(one.share)), el("td", {}, percent(one.likelihood))),
  );
  return table("Candidates", ["Force", "Share", "Likelihood"], rows);
}

function facts(found, asked, names) {
  const facts = [
    ["Asked about", asked],
    ["Confidence", percent(found.confidence)],
    ["Nearest border", found.borderMetres === null ? null : metres(found.borderMetres)],
    ["Neighbourhood", found.neighbourhood && `${found.neighbourhood.name} (${found.neighbourhood.generation})`],
    ["Nearer to", found.nearer.length ? found.nearer.map((one) => `${one.name} (${names(one.force)}), ${metres(one.metres)}`).join("; ") : null],
    ["Boundaries", `${found.generation}, right to within ${metres(found.accuracyMetres)}`],
  ];
  return el("dl", {}, facts.filter(([, said]) => said).map(([name, said]) => el("div", {}, el("dt", {}, name), el("dd", {}, said))));
}

export function table(caption, headings, rows) {
  const head = el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading)));
  return el("div", { className: "table" }, el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, rows)));
}

export function queues(all, force, whose, member) {
  const own = all.filter((queue) => queue.force === force).sort((a, b) => a.priority - b.priority || a.name.localeCompare(b.name, "en-GB"));
  if (!own.length) return el("p", { className: "hint" }, member ? `${whose} has no queues.` : `${whose} is not a party to this alliance: it has no queues here.`);
  const rows = own.map((queue) =>
    el("tr", {}, el("th", { scope: "row" }, queue.name), el("td", {}, takes(queue)), el("td", {}, String(queue.priority)), el("td", {}, queue.maxLength.toLocaleString("en-GB"))),
  );
  return table("Queues", ["Queue", "Takes", "Priority", "Full at"], rows);
}

function takes(queue) {
  const what = [queue.line, queue.channels.join(", ")].filter(Boolean).join(" by ") || "everything";
  return queue.emergency ? `${what}; emergencies of any kind` : what;
}

export function lines(all, force) {
  const rows = all
    .filter((line) => line.force === force)
    .map((line) => el("tr", {}, el("th", { scope: "row" }, line.line ?? "none"), el("td", {}, line.trunk ?? "–"), el("td", {}, line.dialledNumber ?? "–")));
  return rows.length ? table("Lines", ["Line", "Trunk", "Number"], rows) : null;
}
