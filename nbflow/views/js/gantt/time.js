// Ticks of the time axis and times as text. The same steps and words as in axis.py, which draws what stands still.

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const STEPS = [];
for (let power = -6; power <= 0; power++) for (const digit of [1, 2, 5]) STEPS.push(Number(`${digit}e${power}`));
STEPS.push(10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const pad = (number, digits = 2) => String(number).padStart(digits, "0");
const decimals = (step) => Math.max(1, -Math.floor(Math.log10(step) + 1e-9));

/** Times of one zone: "" for times without a zone, null for the zone of the browser. */
class Clock {
  constructor(scale, zone) {
    this.elapsed = scale === "elapsed";
    this.zone = zone === "" ? "UTC" : zone;
    this.naive = zone === "";
    this.offsets = new Map();
    if (this.zone && this.zone !== "UTC") {
      this.format = new Intl.DateTimeFormat("en-GB", {
        timeZone: this.zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
        hour: "numeric", minute: "numeric", second: "numeric",
      });
    }
  }

  /** Seconds by which the zone is ahead of UTC at a time. */
  offset(at) {
    if (this.zone === "UTC") return 0;
    if (!this.format) return -60 * new Date(at * 1000).getTimezoneOffset();
    const quarter = Math.floor(at / 900); // zones change at quarters of hours
    if (!this.offsets.has(quarter)) {
      const part = {};
      for (const { type, value } of this.format.formatToParts(new Date(quarter * 900_000))) part[type] = Number(value);
      const read = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1000;
      this.offsets.set(quarter, read - quarter * 900);
    }
    return this.offsets.get(quarter);
  }

  /** A date whose UTC fields are those of the zone. */
  local(at) {
    return new Date((at + this.offset(at)) * 1000);
  }

  zoneText(at) {
    if (this.elapsed || this.naive) return "";
    if (this.zone) return this.zone;
    const minutes = Math.round(this.offset(at) / 60), size = Math.abs(minutes);
    return minutes ? `UTC${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}` : "UTC";
  }

  step(span, count) {
    const least = (span / Math.max(count, 1)) * 0.999;
    return STEPS.find((step) => step >= least) ?? DAY * 100 * Math.ceil(least / DAY / 100);
  }

  /** Ticks between two times, about `count` of them: [{at, text}]. */
  ticks(begin, end, count) {
    const step = this.step(end - begin, count), found = [];
    if (!this.elapsed && step > STEPS[STEPS.length - 1]) return this.months(begin, end, (end - begin) / count);
    const offset = this.elapsed ? 0 : this.offset(begin);
    for (let number = Math.ceil((begin + offset) / step); ; number++) {
      let at = number * step - offset;
      if (at > end || found.length > 500) return found;
      if (!this.elapsed && step >= HOUR) at += offset - this.offset(at); // the clocks were changed in between
      found.push({ at, text: this.elapsed ? elapsedText(number * step, step) : this.clockText(at, step) });
    }
  }

  months(begin, end, least) {
    const months = least / (DAY * 30.44), step = [1, 2, 3, 6].find((each) => each >= months) ?? 12 * Math.ceil(months / 12);
    const first = this.local(begin), found = [];
    let number = Math.floor((first.getUTCFullYear() * 12 + first.getUTCMonth() + 1) / step) * step;
    for (;;) {
      number += step;
      const year = Math.floor(number / 12), read = Date.UTC(year, number % 12, 1) / 1000, at = read - this.offset(read);
      if (at > end || found.length > 500) return found;
      found.push({ at, text: step < 12 ? `${MONTHS[number % 12]} ${year}` : String(year) });
    }
  }

  clockText(at, step) {
    const micros = Math.round(at * 1e6), moment = this.local(micros / 1e6);
    const hours = pad(moment.getUTCHours()), minutes = pad(moment.getUTCMinutes());
    const day = `${moment.getUTCDate()} ${MONTHS[moment.getUTCMonth()]}`;
    if (step >= DAY) return day;
    if (step >= MINUTE) return hours + minutes === "0000" ? day : `${hours}:${minutes}`;
    const fraction = pad(((micros % 1e6) + 1e6) % 1e6, 6), text = `${hours}:${minutes}:${pad(moment.getUTCSeconds())}`;
    return step >= 1 ? text : `${text}.${fraction.slice(0, decimals(step))}`;
  }

  dateText(at) {
    const moment = this.local(at);
    return `${moment.getUTCDate()} ${MONTHS[moment.getUTCMonth()]} ${moment.getUTCFullYear()}`;
  }

  /** A time to the millisecond, for the hover. */
  exact(at) {
    return this.elapsed ? `${at.toFixed(3)} s` : this.clockText(at, 0.001);
  }
}

function elapsedText(seconds, step) {
  if (step < 1) return `${seconds.toFixed(decimals(step))} s`;
  if (Math.abs(seconds) < MINUTE) return `${seconds.toFixed(0)} s`;
  const sign = seconds < 0 ? "-" : "", rest = Math.round(Math.abs(seconds));
  const hours = Math.floor(rest / HOUR), minutes = Math.floor(rest / MINUTE) % 60, left = rest % 60;
  if (hours) return step >= MINUTE ? `${sign}${hours} h ${pad(minutes)} min` : `${sign}${hours}:${pad(minutes)}:${pad(left)}`;
  return left || step < MINUTE ? `${sign}${minutes} min ${pad(left)} s` : `${sign}${minutes} min`;
}

/** A duration for people. */
function secondsText(seconds) {
  if (seconds < 0) return `-${secondsText(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 0.01) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(0)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), hours = Math.floor(whole / HOUR), minutes = Math.floor(whole / MINUTE) % 60;
  return hours ? `${hours} h ${pad(minutes)} min` : `${minutes} min ${pad(whole % 60)} s`;
}
