/**
 * Tests that not every machine can run.
 *
 * @module
 */

/**
 * Registers a test, or one that is ignored and tells in its name why.
 *
 * @param obstacle What is missing here, or null.
 */
export function testUnless(
  obstacle: string | null,
  name: string,
  fn: () => void | Promise<void>,
): void {
  if (obstacle === null) Deno.test(name, fn);
  else Deno.test.ignore(`${name} (ignored: ${obstacle})`, fn);
}
