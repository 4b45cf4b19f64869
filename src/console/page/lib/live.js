// What happens as it happens: one stream of events for the page, opened for what the current view shows.

import { get, store } from './api.js';

const KINDS = ['overview', 'requests', 'traces', 'logs', 'metrics', 'lost'];
const AGAIN = 5000;
const POLL = 1000;

/**
 * Events of the kinds above, and `opened` whenever a stream begins. `report(state)` is told how it goes: `live`, `waiting`,
 * `polling` (the store is off) or `paused`.
 */
export class Live {
  #report;
  #handlers = {};
  #always = {};
  #source = null;
  #timer = 0;
  #storeOff = null;
  #round = 0;

  constructor(report) {
    this.#report = report;
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#close('paused') : this.#open()));
    addEventListener('pagehide', () => this.#close('paused'));
  }

  /** The sentence that says how to switch the store on, when it is off. */
  get storeOff() { return this.#storeOff; }

  /** Handlers that stay whatever the view is. */
  always(handlers) { this.#always = handlers; }

  /** Replaces the view's handlers. */
  watch(handlers) {
    this.#handlers = handlers;
    if (!document.hidden) this.#open();
  }

  /** Asks once whether there is a store. */
  async probe() {
    try {
      const overview = await store('overview');
      this.#storeOff = null;
      return overview;
    } catch (problem) {
      this.#storeOff = problem.storeIsOff ? problem.message : null;
      return null;
    }
  }

  #close(state) {
    this.#round += 1;
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    if (state) this.#report(state);
  }

  #tell(kind, data) {
    this.#always[kind]?.(data);
    this.#handlers[kind]?.(data);
  }

  #open() {
    this.#close(null);
    if (this.#storeOff) {
      this.#poll(this.#round);
      return;
    }
    const views = KINDS.filter((kind) => kind !== 'lost' && (this.#handlers[kind] || this.#always[kind]));
    if (!views.length) return;
    const source = new EventSource(`console/api/events?views=${views.join(',')}`);
    this.#source = source;
    source.addEventListener('open', () => {
      this.#report('live');
      // what came before, and while there was no connection, is for the view to ask for
      this.#handlers.opened?.();
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        let data;
        try { data = JSON.parse(event.data); } catch { return; }
        this.#tell(kind, data);
      });
    }
    source.addEventListener('error', () => {
      this.#report('waiting');
      // a refused stream is not tried again by the browser
      if (source.readyState === EventSource.CLOSED) {
        const round = this.#round;
        this.#timer = setTimeout(async () => {
          await this.probe();
          if (round === this.#round) this.#open();
        }, AGAIN);
      }
    });
  }

  /** Without a store: what needs none is asked for. */
  async #poll(round) {
    this.#report('polling');
    if (this.#handlers.requests) {
      try {
        const requests = await get('debug/requests', { query: { format: 'json' } });
        if (round !== this.#round) return;
        this.#tell('requests', requests);
      } catch {
        if (round === this.#round) this.#report('waiting');
      }
    }
    if (round === this.#round) this.#timer = setTimeout(() => this.#poll(round), POLL);
  }
}
