/**
 * Reads the options that Deno passes to what it prints.
 *
 * @module
 */

/** The properties that a drawing must observe. */
export interface Canvas {
  readonly columns: number;
  readonly colors: boolean;
  /** How many items of a list to show. */
  readonly items: number;
  /** Indents all lines but the first, for a drawing inside of another object. */
  readonly indent: (drawing: string) => string;
}

/** Deno's own defaults. */
const DEFAULT_COLUMNS = 80;
export const DEFAULT_ITEMS = 100;

/** Reads all options once. SAFETY: a getter may run the caller's code, and close things. */
export function canvasOf(options: unknown): Canvas {
  const { breakLength, colors, iterableLimit, indentationLvl } =
    (options ?? {}) as Record<keyof Shown, unknown>;
  const indentation = number(indentationLvl, 0) < MAX_INDENTATION
    ? Math.max(Math.floor(number(indentationLvl, 0)), 0)
    : 0;
  return {
    columns: widthOf(number(breakLength, DEFAULT_COLUMNS)) - indentation,
    colors: colors === true,
    items: number(iterableLimit, DEFAULT_ITEMS),
    indent: (drawing) =>
      indentation === 0
        ? drawing
        : drawing.replaceAll("\n", `\n${" ".repeat(indentation)}`),
  };
}

/** The options that Deno passes. The indentation is not documented. */
type Shown = Deno.InspectOptions & { indentationLvl: number };

const MAX_INDENTATION = 1000;

function number(value: unknown, otherwise: number): number {
  return typeof value === "number" && value === value ? value : otherwise;
}

/** Replaces Deno's default width by that of the terminal, if there is one. */
function widthOf(columns: number): number {
  if (columns !== DEFAULT_COLUMNS) return columns;
  try {
    return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : columns;
  } catch {
    return columns;
  }
}
