/** The TypeScript files in a folder and its subfolders, relative to it, sorted. */
export function modulesOf(folder: URL): string[] {
  const names: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) {
      const inside = modulesOf(new URL(`${name}/`, folder));
      names.push(...inside.map((module) => `${name}/${module}`));
    } else if (name.endsWith(".ts")) {
      names.push(name);
    }
  }
  return names.sort();
}
