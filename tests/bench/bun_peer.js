/**
 * What Bun.mmap takes, as peer.c answers for C. Bun has no way to unmap: that
 * is the garbage collector's, and here it isn't waited for.
 */

for await (const line of console) {
  const [, times, path] = line.split(" ");
  const start = Bun.nanoseconds();
  for (let i = 0; i < Number(times); i++) {
    const bytes = Bun.mmap(path);
    bytes.fill(0x5a, 0, 64);
  }
  console.log(String(Bun.nanoseconds() - start));
}
