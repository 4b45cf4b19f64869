// A list of any length of which only the rows in sight are in the document.

import { h, perFrame } from './dom.js';

const OVERSCAN = 8;
const MOST_ROWS = 200;

/**
 * Rows of one height. `row(item, index)` gives the cells, or an element with `class`, `level` and `expanded`;
 * `key(item)` is what makes an item the same after `set`; `open(item)` is called for a click and for Enter.
 */
export class Windowed {
  #items = [];
  #options;
  #body;
  #rows = new Map();
  #current = -1;
  #paint;
  #stale = true;
  #watcher;

  constructor(options) {
    this.#options = { rowHeight: 28, role: 'grid', ...options };
    const { label, role, height } = this.#options;
    this.#body = h('div', { class: 'rows', role: 'rowgroup' });
    this.element = h('div', {
      class: `windowed ${this.#options.class ?? ''}`, role, tabindex: '0', 'aria-label': label, 'aria-rowcount': '0',
      on: { scroll: () => this.#paint(), keydown: (event) => this.#key(event), click: (event) => this.#click(event) },
    }, this.#body);
    if (height) this.element.style.setProperty('max-height', height);
    this.id = `w${Math.random().toString(36).slice(2, 8)}`;
    this.#paint = perFrame(() => this.#render());
    this.#watcher = new ResizeObserver(() => this.#paint());
    this.#watcher.observe(this.element);
  }

  get items() { return this.#items; }
  get current() { return this.#items[this.#current] ?? null; }
  get isAtTop() { return this.element.scrollTop < this.#options.rowHeight; }

  /** Replaces the items. The chosen one stays chosen; with `keepPlace`, so does what is in sight when rows come on top. */
  set(items, { keepPlace = false } = {}) {
    const { key, rowHeight } = this.#options;
    const chosen = this.current;
    const top = Math.floor(this.element.scrollTop / rowHeight);
    const anchor = keepPlace && !this.isAtTop ? this.#items[top] : null;
    this.#items = items;
    if (key) {
      const index = (wanted) => (wanted ? items.findIndex((item) => key(item) === key(wanted)) : -1);
      this.#current = index(chosen);
      const moved = index(anchor);
      if (moved >= 0) this.element.scrollTop += (moved - top) * rowHeight;
    } else {
      this.#current = Math.min(this.#current, items.length - 1);
    }
    this.#stale = true;
    this.#body.style.setProperty('height', `${items.length * rowHeight}px`);
    this.element.setAttribute('aria-rowcount', String(items.length));
    this.#paint();
  }

  /** Draws again what is in sight. */
  refresh() {
    this.#stale = true;
    this.#paint();
  }

  /** Makes an item the current one, in sight. */
  choose(index, { focus = false, open = false } = {}) {
    if (!this.#items.length) return;
    this.#current = Math.max(0, Math.min(index, this.#items.length - 1));
    const { rowHeight } = this.#options;
    const top = this.#current * rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + rowHeight > scrollTop + clientHeight) this.element.scrollTop = top + rowHeight - clientHeight;
    if (focus) this.element.focus({ preventScroll: true });
    this.#stale = true;
    this.#render();
    if (open) this.#options.open?.(this.current, this.#current);
  }

  step(by) {
    this.choose(this.#current < 0 ? (by > 0 ? 0 : this.#items.length - 1) : this.#current + by);
  }

  openCurrent() {
    if (this.current) this.#options.open?.(this.current, this.#current);
  }

  stop() {
    this.#watcher.disconnect();
    this.#paint.cancel();
  }

  #key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#options.rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const by = steps[event.key];
      if (Number.isFinite(by)) this.step(by);
      else this.choose(by > 0 ? this.#items.length - 1 : 0);
    } else if (event.key === 'Enter') {
      this.openCurrent();
    } else if (!this.#options.onKey?.(event, this.current, this.#current)) {
      return;
    }
    event.preventDefault();
  }

  #click(event) {
    if (event.target.closest('a, button')) return;
    const row = event.target.closest('[data-row]');
    if (row) this.choose(Number(row.dataset.row), { open: true });
  }

  #render() {
    const { rowHeight, row: build } = this.#options;
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - OVERSCAN);
    const inSight = Math.ceil(clientHeight / rowHeight) + 2 * OVERSCAN;
    const last = Math.min(this.#items.length, first + Math.min(inSight, MOST_ROWS));
    for (const [index, element] of this.#rows) {
      if (this.#stale || index < first || index >= last) {
        element.remove();
        this.#rows.delete(index);
      }
    }
    this.#stale = false;
    for (let index = first; index < last; index += 1) {
      if (this.#rows.has(index)) continue;
      const built = build(this.#items[index], index);
      const { cells, class: name, level, expanded, label } = Array.isArray(built) ? { cells: built } : built;
      const element = h('div', {
        class: `row ${name ?? ''}`, role: 'row', id: `${this.id}-${index}`, 'aria-rowindex': index + 1,
        'aria-selected': index === this.#current ? 'true' : 'false', 'aria-level': level, 'aria-label': label,
        'aria-expanded': expanded === undefined || expanded === null ? null : String(expanded),
        data: { row: String(index) }, style: { top: `${index * rowHeight}px`, height: `${rowHeight}px` },
      }, cells.map((cell) => (cell instanceof Element && cell.getAttribute('role') ? cell
        : h('div', { role: 'gridcell', class: cell?.class }, cell?.content ?? cell))));
      this.#rows.set(index, element);
      this.#body.append(element);
    }
    if (this.#current >= 0) this.element.setAttribute('aria-activedescendant', `${this.id}-${this.#current}`);
    else this.element.removeAttribute('aria-activedescendant');
    if (last >= this.#items.length && this.#items.length) this.#options.end?.();
  }
}
