/**
 * Formats text of unknown origin for a terminal: nothing in it acts on the terminal, and
 * its width is known.
 *
 * @module
 */

/**
 * Formats a path for `columns` cells. A path that could be mistaken for something else,
 * or that contains characters a terminal would act on, becomes a string literal.
 */
export function formatPath(path: string, columns: number): string {
  const units = unitsOf(path);
  const plain = /^[^\s"'\\,]+$/u.test(path) &&
    !units.some(({ escaped }) => escaped);
  const text = shorten(units, plain ? columns : columns - 2);
  return plain ? text : `"${text}"`;
}

interface Unit {
  text: string;
  readonly width: number;
  readonly escaped: boolean;
}

// PERF: the regular expressions are in functions since V8 takes 0.7 ms to parse them,
// and most processes print nothing (Deno 2.9.6).

/**
 * Whether a character is invisible, moves the cursor, reorders text, looks like a space
 * without being one, or would end the literal.
 */
function mustBeEscaped(char: string): boolean {
  return /[\p{C}\p{Default_Ignorable_Code_Point}"\\]|(?! )\p{Z}/u.test(char);
}

function isCombining(char: string): boolean {
  return /[\p{Mn}\p{Me}]/u.test(char);
}

/** Whether a character is East Asian wide or full-width by Unicode Standard Annex 11. */
function isWide(char: string): boolean {
  return /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1b000}-\u{1b2ff}\u{1d300}-\u{1d376}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u
    .test(char);
}

/** Splits text into units that belong together: a character with its accents, or an escape. */
function unitsOf(text: string): Unit[] {
  const units: Unit[] = [];
  for (const char of text) {
    const last = units.at(-1);
    const combining = isCombining(char);
    if (combining && last !== undefined && !last.escaped && last.text !== "/") {
      last.text += char;
    } else if (combining || mustBeEscaped(char)) {
      const escape = escapeChar(char);
      units.push({ text: escape, width: escape.length, escaped: true });
    } else {
      units.push({
        text: char,
        width: isWide(char) ? 2 : 1,
        escaped: false,
      });
    }
  }
  return units;
}

function escapeChar(char: string): string {
  const short = JSON.stringify(char).slice(1, -1);
  if (/^\\[^u]$/.test(short)) return short;
  const code = char.codePointAt(0)!.toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\u{${code}}`;
}

/** Leaves out the middle of a path, and keeps the name of the file if there is room. */
function shorten(units: Unit[], columns: number): string {
  if (widthOf(units) <= columns) return join(units);
  const name = units.slice(units.findLastIndex(({ text }) => text === "/") + 1);
  const directories = columns - widthOf(name) - 2;
  if (name.length > 0 && directories >= 0) {
    return `${join(take(units, directories))}…/${join(name)}`;
  }
  const tail = name.length > 0 ? name : units;
  if (widthOf(tail) <= columns) return join(tail);
  const start = take(tail, Math.ceil((columns - 1) / 2));
  const end = take(tail.toReversed(), columns - 1 - widthOf(start));
  return `${join(start)}…${join(end.toReversed())}`;
}

/** Returns as many units as fit. */
function take(units: Unit[], columns: number): Unit[] {
  let width = 0;
  const over = units.findIndex((unit) => (width += unit.width) > columns);
  return over < 0 ? units : units.slice(0, over);
}

function widthOf(units: Unit[]): number {
  return units.reduce((sum, { width }) => sum + width, 0);
}

function join(units: Unit[]): string {
  return units.map(({ text }) => text).join("");
}
