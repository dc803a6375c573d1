/* The page, wired: who is signed in, what is asked, what is shown. */

import { get, holder, post, Refused, token } from "./ask.js";
import * as tell from "./tell.js";

const RADII_M = [0, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000];
const COLOURS = 12;
const NARROW = matchMedia("(max-width: 52rem)"); // as the style sheet has it: the map stays above what is scrolled
const OWN = ""; // in the list of forces: the alliance's own queues
const $ = (id) => document.getElementById(id);

const known = { alliance: null, forces: new Map(), queues: [], lines: [], linesRefused: null, drawn: null };
let picture = null;
let asking = null; // of the question that counts: a later one takes its place
let last = null; // the place that was asked about last

/* Who is signed in */

function signIn(why) {
  token.forget();
  asking?.abort();
  $("work").hidden = true;
  $("sign-in").hidden = false;
  $("sign-out").hidden = true;
  $("who").textContent = "";
  $("alliance").textContent = "";
  say("sign-in-why", why);
  forget();
  $("token").focus();
}

/* Nothing of one visitor's questions is left for the next. */
function forget() {
  last = null;
  picture?.unmark();
  $("place").value = "";
  say("place-wrong", null);
  $("said").replaceChildren(tell.el("p", { className: "hint" }, "Click the map, or search."));
  $("heard").textContent = "";
}

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set($("token").value);
  $("token").value = "";
  open();
});
$("sign-out").addEventListener("click", () => signIn(null));

function say(id, text) {
  $(id).textContent = text ?? "";
  $(id).hidden = !text;
}

async function open() {
  say("sign-in-why", null);
  try {
    const [alliance, forces, queues] = await Promise.all([get("v1/alliance"), get("v1/forces"), get("v1/queues"), lines()]);
    Object.assign(known, { alliance, queues, forces: new Map(forces.map((force) => [force.id, force])) });
  } catch (refused) {
    signIn(refused.status === 401 ? `The token was not accepted. ${refused.message}` : refused.message);
    return;
  }
  const who = holder();
  const until = who?.until?.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "Europe/London" });
  $("who").textContent = who ? `${who.subject}${until ? `, until ${until}` : ""}` : "";
  $("sign-out").hidden = false;
  $("alliance").textContent = known.alliance.name;
  $("sign-in").hidden = true;
  $("work").hidden = false;
  listForces();
  await startMap();
}

/* Some roles are not shown them. */
async function lines() {
  try {
    known.lines = await get("v1/lines");
    known.linesRefused = null;
  } catch (refused) {
    if (refused.status !== 403) throw refused;
    known.linesRefused = "Your role is not shown the lines.";
  }
}

/* The map */

async function startMap() {
  try {
    if (!picture) {
      const { Picture } = await import("./draw.js");
      picture = new Picture($("map"), { asks: (lat, lon) => askAbout(at(lat, lon)), finer: () => draw(20) });
    }
  } catch {
    $("map").hidden = true;
    say("map-trouble", "There is no map: its library is not installed on this service (npm ci in services/directory/pages, or make run). The search works without it.");
    return;
  }
  await draw(100);
  picture.choose($("forces").value);
  picture.fit(known.alliance.members);
  towns();
}

async function draw(tolerance) {
  const drawn = known.drawn;
  if (drawn?.generation === known.alliance.generation && drawn.toleranceMetres <= tolerance) return;
  try {
    known.drawn = await get(`v1/boundaries/areas?tolerance_m=${tolerance}`);
    known.alliance.generation = known.drawn.generation;
  } catch (refused) {
    failed(refused, "map-trouble");
    return;
  }
  say("map-trouble", null);
  picture.show(known.drawn, look);
  $("credit").textContent =
    `Boundaries ${known.drawn.generation}, right to within ${tell.metres(known.drawn.accuracyMetres)}, drawn simplified. ` +
    `${known.drawn.attribution} Towns: GeoNames, CC BY 4.0. Map: Leaflet.`;
}

async function towns() {
  try {
    picture.setTowns(await get("pages/towns.json"));
  } catch {
    /* a map without towns is a map */
  }
}

function look(force) {
  const member = known.alliance.members.includes(force);
  const number = known.alliance.members.indexOf(force) % COLOURS;
  return { name: names(force), member, className: member ? `member-${number}` : "neighbour" };
}

function names(force) {
  return known.forces.get(force)?.name ?? force;
}

function swatch(force) {
  return tell.el("span", { className: `swatch ${look(force).className}`, ariaHidden: "true" });
}

/* What is asked */

function at(lat, lon) {
  const radiusM = RADII_M[$("radius").valueAsNumber];
  const rounded = { lat: Number(lat.toFixed(6)), lon: Number(lon.toFixed(6)) };
  const shape = radiusM ? { kind: "circle", ...rounded, radiusM } : { kind: "point", ...rounded };
  const words = `${rounded.lat.toFixed(5)}, ${rounded.lon.toFixed(5)}${radiusM ? `, give or take ${tell.metres(radiusM)}` : ""}`;
  return { shape, words, lat, lon, radiusM };
}

/* Raises Refused for what cannot be a place. */
function placeOf(text) {
  const typed = text.trim().replace(/\s+/g, " ");
  const numbers = /^([-−+]?\d+(?:\.\d*)?)°?(?: ?, ?| )([-−+]?\d+(?:\.\d*)?)°?$/.exec(typed);
  if (numbers) {
    const [lat, lon] = numbers.slice(1).map((number) => Number(number.replace("−", "-")));
    if (Math.abs(lat) > 90 || Math.abs(lon) > 180) throw new Refused(422, "A latitude is from -90 to 90, a longitude from -180 to 180.");
    return { ...at(lat, lon), search: true };
  }
  if (!typed) throw new Refused(422, "Type a postcode, a grid reference, or a latitude and a longitude.");
  if (/^[a-z]{2}[\d ]*$/i.test(typed)) return { shape: { kind: "grid-reference", reference: typed }, words: `Grid reference ${typed.toUpperCase()}`, search: true };
  if (typed.length > 16) throw new Refused(422, "That is neither a postcode, as SG8 6NA, nor a grid reference, as TL 356 407.");
  return { shape: { kind: "postcode", postcode: typed }, words: `Postcode ${typed.toUpperCase()}`, search: true };
}

async function askAbout(place) {
  asking?.abort();
  const mine = (asking = new AbortController());
  last = place;
  say("place-wrong", null);
  $("place").removeAttribute("aria-invalid");
  $("answer").ariaBusy = "true";
  if (place.lat !== undefined) picture?.mark(place.lat, place.lon, place.radiusM);
  else picture?.unmark();
  try {
    show(await post("v1/locate", { shape: place.shape }, mine.signal), place);
  } catch (refused) {
    if (mine !== asking || mine.signal.aborted) return;
    // An answer about another place must not stand beside the place that has none.
    $("said").replaceChildren(tell.el("p", { className: "hint" }, "No answer."));
    $("heard").textContent = "";
    picture?.unmark();
    failed(refused, "place-wrong");
    if (place.search) $("place").setAttribute("aria-invalid", "true");
  } finally {
    if (mine === asking) $("answer").ariaBusy = "false";
  }
}

function show(found, place) {
  $("said").replaceChildren(...tell.answer(found, place.words, names, swatch).flat());
  $("heard").textContent = tell.summary(found, names);
  const centre = place.lat === undefined ? found.centre : place;
  if (centre && picture) {
    if (place.lat === undefined) picture.mark(centre.lat, centre.lon, 0);
    if (place.search) picture.goTo(centre.lat, centre.lon, place.radiusM ?? 0);
  }
  if (NARROW.matches) $("answer").scrollIntoView({ block: "start" });
  if (found.owningForce) choose(found.owningForce);
  if (found.generation !== known.alliance.generation) {
    known.alliance.generation = found.generation; // they changed meanwhile
    if (picture) draw(known.drawn?.toleranceMetres ?? 100);
  }
}

function failed(refused, id) {
  if (!(refused instanceof Refused)) throw refused;
  if (refused.status === 401) return signIn(`Please sign in again. ${refused.message}`);
  const fault = refused.status === 422 ? refused.faults[0]?.detail : null;
  say(id, fault ? `${fault[0].toUpperCase()}${fault.slice(1)}.`.replace("..", ".") : refused.message);
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    askAbout(placeOf($("place").value));
  } catch (refused) {
    failed(refused, "place-wrong");
    $("place").setAttribute("aria-invalid", "true");
  }
});

$("radius").addEventListener("input", () => {
  const radiusM = RADII_M[$("radius").valueAsNumber];
  const words = radiusM ? `give or take ${tell.metres(radiusM)}` : "exact";
  $("radius-words").textContent = words;
  $("radius").setAttribute("aria-valuetext", words);
  if (last?.lat !== undefined) picture?.mark(last.lat, last.lon, radiusM);
});
$("radius").addEventListener("change", () => {
  if (last?.lat !== undefined) askAbout(at(last.lat, last.lon));
});

/* The force that is chosen */

function listForces() {
  const byName = [...known.forces.values()].sort((a, b) => a.name.localeCompare(b.name, "en-GB"));
  const options = (member) => byName.filter((force) => force.member === member).map((force) => tell.el("option", { value: force.id }, force.name));
  $("forces").replaceChildren(
    tell.el("optgroup", { label: "Parties to the alliance" }, options(true)),
    tell.el("optgroup", { label: "The alliance's own" }, tell.el("option", { value: OWN }, "Queues of no one force")),
    tell.el("optgroup", { label: "Neighbours" }, options(false)),
  );
  const legend = [...known.alliance.members].map((force) => {
    const button = tell.el("button", { type: "button" }, swatch(force), names(force));
    button.addEventListener("click", () => {
      choose(force);
      picture?.fit([force]);
    });
    return tell.el("li", {}, button);
  });
  $("legend").replaceChildren(...legend, tell.el("li", { className: "others" }, tell.el("span", { className: "swatch neighbour" }), "others"));
  choose(known.alliance.members[0] ?? OWN);
}

function choose(force) {
  $("forces").value = force;
  const own = force === OWN;
  $("queues").replaceChildren(tell.queues(known.queues, own ? null : force, own ? "The alliance" : names(force), own || look(force).member));
  const shown = known.linesRefused ? tell.el("p", { className: "hint" }, known.linesRefused) : tell.lines(known.lines, force);
  $("lines").replaceChildren(...[shown].filter(Boolean));
  picture?.choose(force);
}
$("forces").addEventListener("change", () => choose($("forces").value));

if (token.get()) open();
else signIn(null);
