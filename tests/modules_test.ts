import { assertEquals } from "@std/assert";

Deno.test("modules.ts names all modules but the one of ./testing", () => {
  const folder = new URL("../ffi/", import.meta.url);
  const text = Deno.readTextFileSync(new URL("modules.ts", folder));
  const named = [...text.matchAll(/^import "\.\/(.+)";$/gm)]
    .map(([, name]) => name);
  const others = ["modules.ts", "testing.ts"];
  const files = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => !others.includes(name));
  assertEquals(named, files.sort());
});
