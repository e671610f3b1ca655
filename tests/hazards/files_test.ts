import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import { Scratch } from "../support/scratch.ts";

Deno.test("H17: the descriptor of a source is never given to another file", () => {
  using scratch = new Scratch();
  const [mine, other] = ["mine", "other"].map((name) => {
    const path = scratch.path(name);
    Deno.writeFileSync(path, new Uint8Array(4096).fill(name.length));
    return path;
  });
  const source = Pmem2Source.open(mine!);
  const { fd } = source;
  const others: Deno.FsFile[] = [];
  for (let i = 0; i < 32; i++) others.push(Deno.openSync(other!));
  using map = Pmem2Map.from(source);
  const bytes = new Uint8Array(4096);
  map.read(bytes);
  assertEquals(bytes, new Uint8Array(4096).fill("mine".length));
  assertEquals(Deno.readLinkSync(`/proc/self/fd/${fd}`), mine);
  source.close();
  source.close();
  // Closed once: the number may be somebody else's by now.
  others.push(Deno.openSync(other!));
  source[Symbol.dispose]();
  const open = [...Deno.readDirSync("/proc/self/fd")]
    .filter(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${name}`) === other;
      } catch {
        return false;
      }
    });
  assert(open.length === others.length);
  for (const file of others) file.close();
});
