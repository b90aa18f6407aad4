import { assertEquals } from "@std/assert";

Deno.test("DenoHost disposes of a UDP socket in a program that has loaded no more of Node than it does", async () => {
  const host = JSON.stringify(import.meta.resolve("../../host/deno_host.ts"));
  const address = JSON.stringify(import.meta.resolve("../../net/wire/address.ts"));
  const code = `import { DenoHost } from ${host};
    import { IpAddress } from ${address};
    const to = { address: IpAddress.parse("127.0.0.1"), port: Number(Deno.args[0]) };
    const host = new DenoHost();
    host.start(() => Infinity);
    host.openUdp(4, { hostDatagram() {}, hostDatagramFailed() {} }).send(new Uint8Array(1), 0, 1, to);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await host[Symbol.asyncDispose]();
    console.log(host.socketCount, "left");`;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = "data:application/typescript," + encodeURIComponent(code);
  const permissions = ["--no-prompt", "--no-config", "--allow-net=127.0.0.1,0.0.0.0"];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, url, `${listener.addr.port}`],
  }).output();
  listener.close();
  assertEquals([new TextDecoder().decode(stdout), new TextDecoder().decode(stderr)], ["0 left\n", ""]);
});
