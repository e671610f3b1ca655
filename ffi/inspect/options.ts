/**
 * How Deno wants something shown.
 *
 * @module
 */

/** What a drawing has to go by. */
export interface Canvas {
  readonly columns: number;
  readonly colors: boolean;
  /** How many items of a list to show. */
  readonly items: number;
  /** Indents all lines but the first, as deep as the drawing stands in others. */
  readonly indent: (drawing: string) => string;
}

/** Deno's own defaults. */
const DEFAULT_COLUMNS = 80;
export const DEFAULT_ITEMS = 100;

/** Reads the options, once and whole: a getter of theirs may close things. */
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

/** What Deno hands to what it shows; of the indentation it tells nobody. */
type Shown = Deno.InspectOptions & { indentationLvl: number };

const MAX_INDENTATION = 1000;

function number(value: unknown, otherwise: number): number {
  return typeof value === "number" && value === value ? value : otherwise;
}

/** Deno's default stands for the terminal's width, where there is a terminal. */
function widthOf(columns: number): number {
  if (columns !== DEFAULT_COLUMNS) return columns;
  try {
    return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : columns;
  } catch {
    return columns;
  }
}
