/* The map: areas, names, and the place that was asked about. Drawn as SVG, so that the style sheet says how. */

import * as L from "./leaflet.js";

const ISLES = [[47, -14], [62, 6]];
const FINE_FROM = 11; // zoom from which a line that is 100 m off can be seen
const [COLUMNS, ROWS] = [10, 8]; // of the view, in which room for a name is looked for
const TOWNS = [[8, 150_000], [9, 70_000], [10, 30_000], [Infinity, 10_000]]; // up to this zoom, places of so many people

export class Picture {
  /* `asks(lat, lon)` is called for a click, and for Enter at the middle; `finer()` when closer lines are wanted. */
  constructor(element, { asks, finer }) {
    this.map = L.map(element, {
      renderer: L.svg({ padding: 0.5 }),
      attributionControl: false,
      maxBounds: ISLES,
      maxBoundsViscosity: 0.8,
      minZoom: 5,
      maxZoom: 17,
      zoomSnap: 0.5,
      zoomControl: false,
    });
    L.control.zoom({ zoomInTitle: "Closer", zoomOutTitle: "Further away", zoomInText: "+", zoomOutText: "−" }).addTo(this.map);
    L.control.scale({ maxWidth: 120 }).addTo(this.map);
    this.areas = L.layerGroup().addTo(this.map);
    this.names = L.layerGroup().addTo(this.map);
    this.place = L.layerGroup().addTo(this.map);
    this.at = null;
    this.towns = [];
    this.forces = [];
    this.map.setView([52.3, -0.5], 8);
    this.map.on("click", ({ latlng }) => asks(latlng.lat, latlng.lng));
    this.map.on("moveend", () => {
      requestAnimationFrame(() => this.#write()); // when the areas have been drawn anew
      if (this.map.getZoom() >= FINE_FROM) finer();
    });
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== element) return;
      const middle = this.map.getCenter();
      asks(middle.lat, middle.lng);
    });
    new ResizeObserver(() => this.map.invalidateSize({ pan: false })).observe(element);
  }

  /* `look(force)`: its style sheet class and its name, and whether it is a member. */
  show(drawn, look) {
    this.areas.clearLayers();
    const layerOf = (feature) => L.geoJSON(feature, { interactive: false, style: () => ({ className: `area ${look(feature.id).className}`, smoothFactor: 0.5 }) });
    this.forces = drawn.features.map((feature) => ({ ...look(feature.id), force: feature.id, at: feature.properties.nameAt, layer: layerOf(feature) }));
    this.forces.sort((a, b) => a.member - b.member); // members' borders over the others'
    this.forces.forEach((force) => this.areas.addLayer(force.layer));
    this.forces.reverse();
    this.choose(this.chosen);
    requestAnimationFrame(() => this.#write());
  }

  fit(forces) {
    const bounds = L.latLngBounds([]);
    this.forces.filter((one) => forces.includes(one.force)).forEach((one) => bounds.extend(one.layer.getBounds()));
    if (bounds.isValid()) this.map.fitBounds(bounds, { padding: [12, 12], animate: false });
  }

  choose(force) {
    this.chosen = force;
    for (const one of this.forces) {
      one.layer.eachLayer((path) => {
        path.getElement()?.classList.toggle("chosen", one.force === force);
        if (one.force === force) path.bringToFront();
      });
    }
    this.place.eachLayer((layer) => layer.bringToFront());
  }

  mark(lat, lon, radiusM) {
    this.unmark();
    this.at = [lat, lon];
    if (radiusM > 0) this.place.addLayer(L.circle([lat, lon], { radius: radiusM, interactive: false, className: "uncertain" }));
    this.place.addLayer(L.circleMarker([lat, lon], { radius: 6, interactive: false, className: "place" }));
    this.#write();
  }

  unmark() {
    this.place.clearLayers();
    this.at = null;
  }

  /* Bring a place that was searched for into view; near enough to see which side of a border it is on. */
  goTo(lat, lon, radiusM) {
    if (radiusM > 1_000) this.map.fitBounds(L.latLng(lat, lon).toBounds(radiusM * 3), { animate: false });
    else this.map.setView([lat, lon], Math.max(this.map.getZoom(), 12), { animate: false });
  }

  setTowns(towns) {
    this.towns = towns;
    this.#write();
  }

  /* Names where there is room: members first, then the other forces, then towns from the largest. */
  #write() {
    this.names.clearLayers();
    const view = this.map.getBounds().pad(0.1);
    const mark = this.at && this.map.latLngToContainerPoint(this.at);
    const taken = mark ? [[mark.x - 9, mark.y - 9, mark.x + 9, mark.y + 9]] : [];
    const put = (text, lat, lon, className, size) => {
      const at = this.map.latLngToContainerPoint([lat, lon]);
      const half = [text.length * size * 0.31 + 4, size * 0.75];
      const box = [at.x - half[0], at.y - half[1], at.x + half[0], at.y + half[1]];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) return;
      taken.push(box);
      const label = document.createElement("span");
      label.textContent = text;
      const icon = L.divIcon({ className: `name ${className}`, html: label, iconSize: null });
      this.names.addLayer(L.marker([lat, lon], { icon, interactive: false, keyboard: false }));
    };
    for (const one of this.forces) {
      if (!one.layer.getBounds().isValid() || !view.intersects(one.layer.getBounds())) continue;
      const at = this.#roomFor(one);
      if (at && (one.member || this.#widthOf(one) > one.name.length * 8)) put(one.name, at.lat, at.lng, one.member ? "of-member" : "of-neighbour", one.member ? 15 : 12);
    }
    const people = TOWNS.find(([zoom]) => this.map.getZoom() <= zoom)[1];
    for (const [name, lat, lon, population] of this.towns) {
      if (population < people || taken.length > 80) break;
      if (view.contains([lat, lon])) put(name, lat, lon, "of-town", 11);
    }
  }

  /* Where to write a force's name: in the middle of its area, or of what is seen of it. Null where little is. */
  #roomFor(one) {
    const { x: width, y: height } = this.map.getSize();
    const middle = one.at && this.map.latLngToContainerPoint([one.at[1], one.at[0]]);
    if (middle && middle.x > 40 && middle.y > 20 && middle.x < width - 40 && middle.y < height - 20) return L.latLng(one.at[1], one.at[0]);
    const paths = one.layer.getLayers().map((path) => path.getElement()).filter(Boolean);
    const inside = (column, row) => {
      if (column < 1 || row < 1 || column >= COLUMNS || row >= ROWS) return 0;
      const at = this.map.containerPointToLayerPoint([(width * column) / COLUMNS, (height * row) / ROWS]);
      return Number(paths.some((path) => path.isPointInFill(new DOMPoint(at.x, at.y))));
    };
    let best = { room: 2, at: null };
    for (let row = 1; row < ROWS; row++) {
      for (let column = 1; column < COLUMNS; column++) {
        if (!inside(column, row)) continue;
        const sides = [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1], [2, 0], [-2, 0]];
        const room = sides.reduce((sum, [x, y]) => sum + inside(column + x, row + y), 0);
        if (room > best.room) best = { room, at: [(width * column) / COLUMNS, (height * row) / ROWS] };
      }
    }
    return best.at && this.map.containerPointToLatLng(best.at);
  }

  #widthOf(one) {
    const bounds = one.layer.getBounds();
    return this.map.latLngToContainerPoint(bounds.getNorthEast()).x - this.map.latLngToContainerPoint(bounds.getSouthWest()).x;
  }
}
