// Numbers, times and values as a person reads them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
const shortClock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function count(value) {
  return value === null || value === undefined ? '–' : whole.format(value);
}

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  return Math.abs(value) >= 1000 || Number.isInteger(value) ? whole.format(value) : small.format(value);
}

/** A number of things: `many(1, 'log')` is `1 log`. */
export function many(value, thing) {
  return `${count(value)} ${thing}${value === 1 ? '' : 's'}`;
}

/** A duration given in milliseconds. */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 3600e3) return `${Math.floor(value / 3600e3)} h ${Math.floor((value % 3600e3) / 60e3)} min`;
  if (value >= 60e3) return `${Math.floor(value / 60e3)} min ${Math.floor((value % 60e3) / 1e3)} s`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(value >= 10e3 ? 1 : 2)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  if (value >= 1) return `${value.toFixed(1)} ms`;
  return value === 0 ? '0 ms' : `${Math.max(1, Math.round(value * 1e3))} µs`;
}

export function percent(share) {
  if (!Number.isFinite(share)) return '–';
  return share > 0 && share < 0.001 ? '<0.1 %' : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

/** Hours to milliseconds, of an RFC 3339 text, a Date or milliseconds since 1970. */
export function time(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '–' : clock.format(date);
}

export function shortTime(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '–' : shortClock.format(date);
}

export function dateTime(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '–' : full.format(date);
}

export function ago(at) {
  const passed = Date.now() - new Date(at).getTime();
  if (!Number.isFinite(passed)) return '–';
  if (passed < 1500) return 'now';
  if (passed < 60e3) return `${Math.round(passed / 1e3)} s ago`;
  if (passed < 3600e3) return `${Math.round(passed / 60e3)} min ago`;
  return passed < 86400e3 ? `${Math.round(passed / 3600e3)} h ago` : dateTime(at);
}

/** Any value in a line of text. */
export function value(given) {
  if (given === null || given === undefined) return '';
  return typeof given === 'object' ? JSON.stringify(given) : String(given);
}

/** A metric's value in its unit (UCUM). */
export function measured(given, unit) {
  if (given === null || given === undefined || Number.isNaN(given)) return '–';
  if (unit === 's') return ms(given * 1e3);
  if (unit === 'ms') return ms(given);
  if (unit === 'By') return bytes(given);
  if (unit === '1' || !unit) return number(given);
  return `${number(given)} ${unit.startsWith('{') ? unit.slice(1, -1) + (given === 1 ? '' : 's') : unit}`;
}
