/** The most bytes of a message. */
export const MESSAGE_BYTES_MAX = 131072;

/** A message that the platform would refuse. */
export class Invalid extends Error {}

type Entry = [string, unknown];

/** Makes own properties of whatever the keys are called. */
function object(entries: (Entry | undefined)[]): object {
  return Object.fromEntries(entries.filter((entry): entry is Entry => entry !== undefined));
}

/** A property of its own, not one that every object has. */
function own<T extends object, K extends keyof T>(from: T, key: K): T[K] | undefined {
  return Object.prototype.hasOwnProperty.call(from, key) ? from[key] : undefined;
}

function entry<T>(key: string, value: T | undefined, write: (value: T) => unknown): Entry | undefined {
  return value === undefined ? undefined : [key, write(value)];
}

function must<T>(part: string, value: T | undefined): T {
  if (value === undefined) {
    throw new Invalid(`${part} is missing`);
  }
  return value;
}

function text(part: string, value: string): string {
  if (typeof value !== "string") {
    throw new Invalid(`${part} is not text`);
  }
  return value;
}

function word(part: string, value: string, words: readonly string[]): string {
  if (!words.includes(value)) {
    throw new Invalid(`${part} is none of its words`);
  }
  return value;
}

function truth(part: string, value: boolean): boolean {
  if (typeof value !== "boolean") {
    throw new Invalid(`${part} is not true or false`);
  }
  return value;
}

function number(part: string, value: number, min: number, max: number): number {
  // Written so that a value that is no number is invalid, too.
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw new Invalid(`${part} lies outside its bounds`);
  }
  return value;
}

function whole(part: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value)) {
    throw new Invalid(`${part} is not a whole number`);
  }
  return number(part, value, min, max);
}

/** Times are milliseconds since 1970, UTC, up to the year 9999. */
function time(ms: number): number {
  return whole("timestampMs", ms, 0, 253402300799999);
}

const clocks = {
  rfc3339: (ms: number): string => new Date(time(ms)).toISOString(),
  epoch_s: (ms: number): number => time(ms) / 1000,
  epoch_ms: (ms: number): number => time(ms),
};

/** Bytes of a text in UTF-8. */
function bytes(of: string): number {
  let count = 0;
  for (const character of of) {
    const code = character.codePointAt(0) ?? 0;
    count += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return count;
}

function end(message: unknown): string {
  const written = JSON.stringify(message);
  if (bytes(written) > MESSAGE_BYTES_MAX) {
    throw new Invalid("the message is too large");
  }
  return written;
}

/** What a device says of itself on its status topic, which may be its will. */
export interface StatusMessage {
  status: "online" | "offline";
}

/** An alarm that a device raises or ends. */
export interface AlarmMessage {
  code: string;
  active: boolean;
}

export function status(isOnline: boolean): string {
  const message: StatusMessage = { status: truth("isOnline", isOnline) ? "online" : "offline" };
  return end(message);
}

/** A code has 1 to 64 characters, none of them a control character. */
export function alarm(code: string, isActive: boolean): string {
  const characters = [...text("code", code)];
  const isControl = (character: string): boolean => {
    const at = character.codePointAt(0) ?? 0;
    return at < 0x20 || (at >= 0x7f && at < 0xa0);
  };
  if (characters.length < 1 || characters.length > 64 || characters.some(isControl)) {
    throw new Invalid("code has 1 to 64 characters, none of them a control character");
  }
  const message: AlarmMessage = { code, active: truth("isActive", isActive) };
  return end(message);
}
