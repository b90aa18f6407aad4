import { assertEquals } from "@std/assert";
import { type AddForward, Slirp4netnsApi } from "../../cli/slirp4netns_api.ts";
import { IpAddress } from "../../net/wire/address.ts";

const GUEST = IpAddress.parse("10.0.2.100");

/** Adds forwards that only note what they are told, and has no port 1. */
function noting(told: string[]): AddForward {
  return (spec) => {
    if (spec.includes("/1:")) return Promise.reject(new Error("port 1 is in use"));
    told.push(`add ${spec}`);
    return Promise.resolve([{ remove: () => Promise.resolve(void told.push(`remove ${spec}`)) }]);
  };
}

function adding(values: Record<string, unknown>): string {
  return JSON.stringify({ execute: "add_hostfwd", arguments: values });
}

const LIST = '{"execute": "list_hostfwd"}';

Deno.test("add_hostfwd, list_hostfwd and remove_hostfwd do what they say, over either family", async () => {
  const told: string[] = [], api = new Slirp4netnsApi(noting(told), GUEST);
  const added: [Record<string, unknown>, string][] = [
    [{ proto: "tcp", host_port: 8080, guest_port: 80 }, "tcp:0.0.0.0/8080:10.0.2.100/80"],
    [
      { proto: "udp", host_addr: "127.0.0.1", host_port: 53, guest_addr: "", guest_port: 54 },
      "udp:127.0.0.1/53:10.0.2.100/54",
    ],
    [{ proto: "tcp4", host_addr: "", host_port: 2, guest_addr: "10.0.2.7", guest_port: 3 }, "tcp:0.0.0.0/2:10.0.2.7/3"],
    [{ proto: "tcp6", host_port: 4, guest_port: 5 }, "tcp:[::]/4:5"],
    [{ proto: "tcp", host_addr: "::1", host_port: 6, guest_addr: "fd00::9", guest_port: 7 }, "tcp:[::1]/6:[fd00::9]/7"],
  ];
  for (const [i, [values]] of added.entries()) {
    assertEquals(await api.answer(adding(values)), `{"return":{"id":${i + 1}}}`);
  }
  assertEquals(told, added.map(([, spec]) => `add ${spec}`));
  const { return: { entries }, entries: outside } = JSON.parse(await api.answer(LIST));
  assertEquals(entries, outside);
  assertEquals(entries[0], {
    id: 1,
    proto: "tcp",
    host_addr: "0.0.0.0",
    host_port: 8080,
    guest_addr: "10.0.2.100",
    guest_port: 80,
  });
  assertEquals(await api.answer('{"execute":"remove_hostfwd","arguments":{"id":1}}'), '{"return":{}}');
  assertEquals(told.at(-1), `remove ${added[0]![1]}`);
  assertEquals(JSON.parse(await api.answer(LIST)).entries.length, added.length - 1);
});

Deno.test("a request that cannot be followed is answered in slirp4netns's words, and changes nothing", async () => {
  const told: string[] = [],
    api = new Slirp4netnsApi(noting(told), GUEST),
    good = { proto: "tcp", host_port: 80, guest_port: 80 };
  const wrong: [string, string][] = [
    ["badjson", "cannot parse JSON"],
    ["", "cannot parse JSON"],
    ["[]", "json_object() failed"],
    ["null", "json_object() failed"],
    ['{"unexpected": 42}', "no execute found"],
    ['{"execute": 7}', "no execute found"],
    ['{"execute": "bad"}', "unknown execute"],
    ['{"execute": "add_hostfwd"}', "add_hostfwd: bad arguments.proto"],
    ['{"execute": "add_hostfwd", "arguments": 7}', "add_hostfwd: bad arguments.proto"],
    [adding({ ...good, proto: "sctp" }), "add_hostfwd: bad arguments.proto"],
    [adding({ ...good, host_addr: "host" }), "add_hostfwd: bad arguments.host_addr"],
    [adding({ ...good, host_addr: 7 }), "add_hostfwd: bad arguments.host_addr"],
    [adding({ ...good, proto: "tcp6", host_addr: "127.0.0.1" }), "add_hostfwd: bad arguments.host_addr"],
    [adding({ ...good, proto: "udp4", host_addr: "::1" }), "add_hostfwd: bad arguments.host_addr"],
    [adding({ ...good, host_port: 0 }), "add_hostfwd: bad arguments.host_port"],
    [adding({ ...good, host_port: 65536 }), "add_hostfwd: bad arguments.host_port"],
    [adding({ ...good, host_port: "80" }), "add_hostfwd: bad arguments.host_port"],
    [adding({ ...good, guest_addr: "guest" }), "add_hostfwd: bad arguments.guest_addr"],
    [adding({ ...good, guest_port: 1.5 }), "add_hostfwd: bad arguments.guest_port"],
    [adding({ ...good, host_port: 1 }), "add_hostfwd: slirp_add_hostfwd failed: port 1 is in use"],
    ['{"execute":"remove_hostfwd","arguments":{"id":1}}', "remove_hostfwd: bad arguments.id"],
    ['{"execute":"remove_hostfwd"}', "remove_hostfwd: bad arguments.id"],
  ];
  for (const [request, problem] of wrong) {
    assertEquals(await api.answer(request), `{"error":{"desc":"bad request: ${problem}"}}`);
  }
  assertEquals(told, []);
  assertEquals(await api.answer(adding(good)), '{"return":{"id":1}}');
});
