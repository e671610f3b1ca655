/**
 * The functions that a shared library exports, from its ELF file.
 *
 * @module
 */

interface Section {
  readonly type: number;
  readonly link: number;
  readonly offset: number;
  readonly size: number;
}

const SHT_DYNSYM = 11;
const STT_FUNC = 2;

/** The dynamic symbol table of a 64-bit little-endian file, and its strings. */
function dynamicSymbols(file: Uint8Array<ArrayBuffer>) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const number = (offset: number) => Number(view.getBigUint64(offset, true));
  const [table, entry, count] = [
    number(0x28),
    view.getUint16(0x3a, true),
    view.getUint16(0x3c, true),
  ];
  const sections = Array.from({ length: count }, (_, i): Section => {
    const at = table + i * entry;
    return {
      type: view.getUint32(at + 4, true),
      link: view.getUint32(at + 0x28, true),
      offset: number(at + 0x18),
      size: number(at + 0x20),
    };
  });
  const symbols = sections.find(({ type }) => type === SHT_DYNSYM)!;
  return { view, symbols, strings: sections[symbols.link]! };
}

/** Each exported function, and where its name is in the file. */
function* functions(
  file: Uint8Array<ArrayBuffer>,
): Generator<{ name: string; at: number }> {
  const { view, symbols, strings } = dynamicSymbols(file);
  const decoder = new TextDecoder();
  const SIZE = 24;
  for (let i = 0; i < symbols.size; i += SIZE) {
    const symbol = symbols.offset + i;
    const defined = view.getUint16(symbol + 6, true) !== 0;
    if (!defined || (view.getUint8(symbol + 4) & 15) !== STT_FUNC) continue;
    const at = strings.offset + view.getUint32(symbol, true);
    yield { name: decoder.decode(file.subarray(at, file.indexOf(0, at))), at };
  }
}

/** The names of the functions that a library exports, sorted. */
export function exportedFunctions(path: string): string[] {
  return [...functions(Deno.readFileSync(path))].map(({ name }) => name).sort();
}

/**
 * Copies a library, without some of its functions: under their names nothing
 * is found any more, and nothing else is different.
 */
export function copyWithout(
  names: readonly string[],
  from: string,
  to: string,
): void {
  const file = Deno.readFileSync(from);
  for (const { name, at } of functions(file)) {
    if (names.includes(name)) file[at] = "_".charCodeAt(0);
  }
  Deno.writeFileSync(to, file);
}
