import { testUnless } from "../support/test_unless.ts";
import { assertSurvives } from "./survival.ts";

const file = `
  using scratch = new Scratch();
  const path = scratch.path("file");
  {
    using map = Pmem2Map.open(path, { create: true, size: 2 ** 20 });
    map.fill(65);
  }
  const whole = (bytes) => {
    assertEquals(bytes.length, 2 ** 20);
    assert(bytes.every((byte) => byte === 65), "wrong bytes");
  };
  async function* pieces() {
    using map = Pmem2Map.open(path);
    for (let at = 0; at < map.size; at += 65_536) {
      yield map.bytes.subarray(at, at + 65_536);
    }
  }
`;

Deno.test("H22: a server sends from a map that is closed before all is sent", () =>
  assertSurvives(`${file}
    await using server = Deno.serve(
      { port: 0, onListen() {} },
      () => new Response(ReadableStream.from(pieces())),
    );
    for (let i = 0; i < 20; i++) {
      const response = await fetch(\`http://127.0.0.1:\${server.addr.port}\`);
      whole(await response.bytes());
    }
  `));

Deno.test("H22: a client sends from a map that is closed before all is sent", () =>
  assertSurvives(`${file}
    await using server = Deno.serve({ port: 0, onListen() {} }, async (request) => {
      whole(await request.bytes());
      return new Response("whole");
    });
    for (let i = 0; i < 20; i++) {
      const response = await fetch(\`http://127.0.0.1:\${server.addr.port}\`, {
        method: "POST",
        body: ReadableStream.from(pieces()),
        duplex: "half",
      });
      assertEquals(await response.text(), "whole");
    }
  `));

Deno.test("H22: a transform stream and a stream that pulls outlive their map", () =>
  assertSurvives(`${file}
    const pulled = () => {
      const map = Pmem2Map.open(path);
      let at = 0;
      return new ReadableStream({
        pull(controller) {
          controller.enqueue(map.bytes.subarray(at, at += 16_384));
          if (at < map.size) return;
          controller.close();
          map.close();
        },
      });
    };
    const transformed = () => {
      const { readable, writable } = new TransformStream();
      (async () => {
        const writer = writable.getWriter();
        for await (const piece of pieces()) writer.write(piece);
        await writer.close();
      })();
      return readable;
    };
    let stream;
    await using server = Deno.serve(
      { port: 0, onListen() {} },
      () => new Response(stream()),
    );
    for (stream of [pulled, transformed]) {
      for (let i = 0; i < 20; i++) {
        const response = await fetch(\`http://127.0.0.1:\${server.addr.port}\`);
        const bytes = await response.bytes();
        // What had not been handed on when the map was closed is lost.
        assert(bytes.every((byte) => byte === 65), "wrong bytes");
      }
    }
  `));

Deno.test("H22: node:crypto is at work on a map that is closed", () =>
  assertSurvives(`
    import { hkdf, pbkdf2, scrypt } from "node:crypto";
    using memory = Pmem2Source.anonymous(2 ** 20);
    for (const derive of [
      (view, done) => scrypt(view, view, 64, done),
      (view, done) => pbkdf2(view, view, 1000, 64, "sha512", done),
      (view, done) => hkdf("sha512", view, view, new Uint8Array(8), 64, done),
    ]) {
      for (let i = 0; i < 4; i++) {
        const map = Pmem2Map.from(memory);
        map.fill(i);
        const { promise, resolve } = Promise.withResolvers();
        try {
          derive(map.bytes, resolve);
        } catch {
          resolve();
        }
        map.close();
        Pmem2Map.from(memory).close();
        await promise;
      }
    }
  `));

Deno.test("H22: bytes that arrive after a map was closed are not in the next one", () =>
  assertSurvives(`
    using memory = Pmem2Source.anonymous(65_536);
    using listener = Deno.listen({ port: 0 });
    for (let i = 0; i < 20; i++) {
      const [mine, theirs] = await Promise.all([
        Deno.connect({ port: listener.addr.port }),
        listener.accept(),
      ]);
      const map = Pmem2Map.from(memory);
      const reading = mine.read(map.bytes);
      await new Promise((resolve) => setTimeout(resolve));
      map.close();
      const others = Array.from({ length: 8 }, () => Pmem2Map.from(memory));
      await theirs.write(new Uint8Array(65_536).fill(0x77));
      await reading.catch(() => {});
      for (const other of others) {
        assert(other.bytes.every((byte) => byte === 0), "somebody else's bytes");
        other.close();
      }
      mine.close();
      theirs.close();
    }
  `));

/** Makes certificates. */
const openssl = (() => {
  try {
    new Deno.Command("openssl", { args: ["version"], stdout: "null" })
      .outputSync();
    return null;
  } catch {
    return "there is no openssl";
  }
})();

testUnless(
  openssl,
  "H22: a TLS connection reads into a map that is closed",
  () =>
    assertSurvives(`
    using scratch = new Scratch();
    const [keyFile, certFile] = ["key", "cert"].map((name) => scratch.path(name));
    const { success } = new Deno.Command("openssl", {
      args: ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
        "-keyout", keyFile, "-out", certFile],
      stderr: "null",
    }).outputSync();
    assert(success);
    const [key, cert] = [keyFile, certFile].map((file) => Deno.readTextFileSync(file));
    using memory = Pmem2Source.anonymous(65_536);
    using listener = Deno.listenTls({ port: 0, key, cert });
    for (let i = 0; i < 20; i++) {
      const accepted = listener.accept();
      const mine = await Deno.connectTls({
        hostname: "localhost", port: listener.addr.port, caCerts: [cert],
      });
      const theirs = await accepted;
      await Promise.all([mine.handshake(), theirs.handshake()]);
      const map = Pmem2Map.from(memory);
      const reading = mine.read(map.bytes);
      await new Promise((resolve) => setTimeout(resolve));
      map.close();
      using other = Pmem2Map.from(memory);
      await theirs.write(new Uint8Array(65_536).fill(0x77));
      await reading.catch(() => {});
      assert(other.bytes.every((byte) => byte === 0), "somebody else's bytes");
      mine.close();
      theirs.close();
    }
  `),
);

Deno.test("what handed views out is unmapped some seconds after it was closed", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const mapped = () => process.mappings().filter((one) => one.path === path).length;
    // Without views at once.
    const plain = Pmem2Map.open(path);
    plain.fill(1);
    assertEquals(mapped(), 1);
    plain.close();
    assertEquals(mapped(), 0);
    // In a reservation of the caller's at once.
    using reservation = new Pmem2VmReservation(2 ** 21);
    const placed = reservation.map(path);
    placed.bytes.fill(1);
    placed.close();
    assertEquals(mapped(), 0);
    assertEquals([...reservation.gaps()].length, 1);
    // With views at a later call.
    const { bytes } = Pmem2Map.open(path);
    const map = Pmem2Map.open(path);
    const view = map.bytes;
    map.close();
    assertEquals([view.length, map.closed], [0, true]);
    assertThrows(() => map.read(view), TypeError, "closed");
    assertEquals(mapped(), 2);
    const then = performance.now();
    while (mapped() === 2 && performance.now() - then < 60_000) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      new Pmem2VmReservation(2 ** 21).close();
    }
    assert(performance.now() - then >= 4500);
    assertEquals(mapped(), 1);
    assertEquals(bytes.length, 8192);
  `));

Deno.test("what waits to be unmapped is bounded, and memory that was collected makes it go", () =>
  assertSurvives(
    `
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const mapped = () => process.mappings().filter((one) => one.path === path).length;
    for (let i = 0; i < 1000; i++) {
      using map = Pmem2Map.open(path);
      map.bytes[0] = i;
    }
    assert(mapped() <= 257, \`\${mapped()} wait\`);
    const large = Pmem2Source.anonymous(2 ** 30);
    const before = process.memory("VmRSS");
    for (let i = 0; i < 4; i++) {
      using map = Pmem2Map.from(large);
      map.bytes.fill(1, 0, 2 ** 26);
    }
    assert(process.memory("VmRSS") - before < 200_000, "memory is kept");
    // Nothing of the module's is called any more, and nothing keeps the process.
    const then = performance.now();
    while (mapped() > 0 && performance.now() - then < 60_000) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      gc();
    }
    assertEquals(mapped(), 0);
  `,
    ["--v8-flags=--expose-gc"],
  ));

Deno.test("a test that closes a map with views leaves no timer behind", async () => {
  const file = Deno.makeTempFileSync({ suffix: "_test.ts" });
  try {
    Deno.writeTextFileSync(
      file,
      `
      import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
      // The library is opened once for all tests.
      Pmem2Map.from(Pmem2Source.anonymous(4096)).bytes;
      Deno.test({ name: "closes", sanitizeOps: true, sanitizeResources: true, fn() {
        using memory = Pmem2Source.anonymous(4096);
        using map = Pmem2Map.from(memory);
        map.bytes[0] = 1;
      } });
    `,
    );
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: ["test", "-A", "--no-check", "--config=deno.json", file],
      },
    ).output();
    const text = new TextDecoder();
    if (!success) throw new Error(text.decode(stdout) + text.decode(stderr));
  } finally {
    Deno.removeSync(file);
  }
});
