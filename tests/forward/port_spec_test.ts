import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  checkOverlaps,
  formatPortSpec,
  parseForward,
  parsePortRequest,
  parsePortSpec,
  splitForward,
} from "../../forward/port_spec.ts";

function read(text: string): string[] {
  return parsePortSpec("tcp", text).map(formatPortSpec);
}

Deno.test("parsePortSpec reads each form, on 127.0.0.1 unless an address is named", () => {
  const forms: [string, string[]][] = [
    ["8080", ["tcp 127.0.0.1:8080 -> 8080"]],
    ["8080:80", ["tcp 127.0.0.1:8080 -> 80"]],
    ["127.0.0.1/8080:80", ["tcp 127.0.0.1:8080 -> 80"]],
    ["0.0.0.0/22", ["tcp 0.0.0.0:22 -> 22"]],
    ["[::1]/8080:80", ["tcp [::1]:8080 -> 80"]],
    ["::1/8080:80", ["tcp [::1]:8080 -> 80"]],
    ["2001:db8::1/80", ["tcp [2001:db8::1]:80 -> 80"]],
    ["2600:1:2:3::4/80", ["tcp [2600:1:2:3::4]:80 -> 80"]],
    ["[80:fd00::5]/80", ["tcp [80:fd00::5]:80 -> 80"]],
    ["[::]/1", ["tcp [::]:1 -> 1"]],
    ["0:80", ["tcp 127.0.0.1:0 -> 80"]],
    ["65535:65535", ["tcp 127.0.0.1:65535 -> 65535"]],
    ["8000-8002:9000-9002", [
      "tcp 127.0.0.1:8000 -> 9000",
      "tcp 127.0.0.1:8001 -> 9001",
      "tcp 127.0.0.1:8002 -> 9002",
    ]],
    ["8000-8001", ["tcp 127.0.0.1:8000 -> 8000", "tcp 127.0.0.1:8001 -> 8001"]],
    ["127.0.0.2/80,443:8443", ["tcp 127.0.0.2:80 -> 80", "tcp 127.0.0.2:443 -> 8443"]],
    ["8080:10.0.2.20/80", ["tcp 127.0.0.1:8080 -> 10.0.2.20:80"]],
    ["8080:[fd00::20]/80", ["tcp 127.0.0.1:8080 -> [fd00::20]:80"]],
    ["[::1]/80:[fe80::1],81:[fd00::20]", ["tcp [::1]:80 -> [fe80::1]:80", "tcp [::1]:81 -> [fd00::20]:81"]],
    ["80-81:[fd00::20]/90-91", ["tcp 127.0.0.1:80 -> [fd00::20]:90", "tcp 127.0.0.1:81 -> [fd00::20]:91"]],
    ["8080:10.0.2.20", ["tcp 127.0.0.1:8080 -> 10.0.2.20:8080"]],
    ["[::1]/8080:10.0.2.20/80,81", ["tcp [::1]:8080 -> 10.0.2.20:80", "tcp [::1]:81 -> 81"]],
    ["80,8000-8001:10.0.2.20/90-91", [
      "tcp 127.0.0.1:80 -> 80",
      "tcp 127.0.0.1:8000 -> 10.0.2.20:90",
      "tcp 127.0.0.1:8001 -> 10.0.2.20:91",
    ]],
    ["0:80,0:80", ["tcp 127.0.0.1:0 -> 80", "tcp 127.0.0.1:0 -> 80"]],
  ];
  for (const [text, specs] of forms) assertEquals(read(text), specs, text);
  assertEquals(parsePortSpec("tcp", "1-65535").length, 65535);
});

Deno.test("parsePortSpec says what is wrong and what would be right", () => {
  const wrong: [string, string][] = [
    ["", "it is empty, write a port such as 8080"],
    ["http", '"http" is no port, write 8080, 8080:80'],
    ["80x", '"80x" is no port'],
    ["-1", '"-1" is no port'],
    ["65536", "host port 65536 is not from 0 to 65535"],
    ["8080:0", "guest port 0 is not from 1 to 65535"],
    ["8080:65536", "guest port 65536"],
    ["8080:", '"" is no port of the guest, write 80'],
    ["8080:http", '"http" is no port of the guest'],
    ["8080:80:90", '"80:90" is no port of the guest'],
    ["0", "host port 0 takes a free one, so name the guest's: 0:80"],
    ["0:10.0.2.20", "name the guest's: 0:10.0.2.20/80"],
    ["0-9:0-9", "0-9 begins with port 0"],
    ["90-80", "90-80 runs backwards, write 80-90"],
    ["8000-8009:9000-9004", "10 ports of the host and 5 ports of the guest"],
    ["8000-8009:80", "10 ports of the host and 1 port of the guest"],
    ["80,,81", "nothing before, after or between its commas"],
    ["80,", "nothing before, after or between its commas"],
    ["localhost/80", "localhost before the slash is no IP address, write 127.0.0.1/80 or [::1]/80"],
    ["/80", "nothing before the slash is no IP address"],
    ["[127.0.0.1]/80", "[127.0.0.1] before the slash is no IP address"],
    ["300.0.0.1/80", "300.0.0.1 before the slash is no IP address"],
    ["127.0.0.1:8080:80", "a slash and not a colon ends the address, write 127.0.0.1/8080:80"],
    ["[::1]:8080:80", "write [::1]/8080:80"],
    ["127.0.0.1/80,127.0.0.2/81", "the address of 127.0.0.2/81 must stand in front of the list"],
    ["80-81:fd00::5/80-81", "brackets are missing, write [fd00::5]/80"],
    ["80:fd00::5", "brackets are missing, write [fd00::5]/80"],
    ["80:fd00::5/80", "brackets are missing, write 80:[fd00::5]/80 for a guest's address, or [80:fd00::5]/80"],
    ["3000:fe80::5/80", "write 3000:[fe80::5]/80 for a guest's address"],
    ["8080:2001:db8::5/80", "write 8080:[2001:db8::5]/80 for a guest's address, or [8080:2001:db8::5]/80"],
    ["80:[10.0.2.20]/80", '"[10.0.2.20]" is no address of a guest, write 10.0.2.20/80 or [fd00::20]/80'],
    ["80:[fd00::5/80", '"[fd00::5" is no address of a guest'],
    ["80:[]/80", '"[]" is no address of a guest'],
    ["80:[fd00::5]80", '"[fd00::5]80" is no port of the guest'],
    ["80:[fd00::5]:80", '"[fd00::5]:80" is no port of the guest'],
    ["0:[fd00::5]", "name the guest's: 0:[fd00::5]/80"],
    ["8080:80/tcp", "80/tcp names a protocol"],
    ["auto", '"auto" follows what listens in a namespace, which only the command knows; name the ports'],
    ["80,auto", '"auto" follows what listens in a namespace'],
    ["80,none", '"none" stands alone'],
    ["all:http", '"http" is no address of a guest'],
    ["~", '"~" leaves out no port, write ~8080'],
    ["~http", '"~http" leaves out no port'],
    ["80,~90-80", "90-80 runs backwards, write 80-90"],
    ["~70000", "excluded port 70000 is not from 0 to 65535"],
    ["8080:[fe80::1%eth0]/80", '"eth0]" behind the % is no interface'],
    ["8080:10.0.2.20%eth0/80", "8080:10.0.2.20 before the slash is no IP address"],
    ["eth0%eth0/80", "eth0 before the slash is no IP address"],
    ["127.0.0.1%/80", '"" behind the % is no interface\'s name'],
    ["127.0.0.1%an-interface-name/80", '"an-interface-name" behind the % is no interface'],
    ["80,80", "tcp 127.0.0.1:80 -> 80 overlaps tcp 127.0.0.1:80 -> 80, each port can be given once"],
    ["80-90,85:1", "tcp 127.0.0.1:85 -> 1 overlaps tcp 127.0.0.1:85 -> 85"],
  ];
  for (const [text, message] of wrong) {
    assertStringIncludes(assertThrows(() => parsePortSpec("tcp", text), Error).message, message, text);
  }
});

Deno.test("parseForward wants the transport in front, and names the text in each error", () => {
  assertEquals(parseForward("udp:[::1]/53:5353").map(formatPortSpec), ["udp [::1]:53 -> 5353"]);
  assertEquals(parseForward("tcp:127.0.0.1/8080:80").map(formatPortSpec), ["tcp 127.0.0.1:8080 -> 80"]);
  for (const text of ["8080:80", "sctp:80", "", "TCP:80"]) {
    assertThrows(() => parseForward(text), TypeError, `Cannot use forward "${text}": it begins with tcp: or udp:`);
  }
  assertThrows(() => parseForward("tcp:99999"), RangeError, 'Cannot use forward "tcp:99999": host port 99999');
});

Deno.test("checkOverlaps takes wildcards for every address they cover, each transport by itself, and leaves others be", () => {
  const spec = (text: string) => parseForward(text);
  const free: [string, string][] = [
    ["tcp:80", "udp:80"],
    ["tcp:127.0.0.1/80", "tcp:127.0.0.2/80"],
    ["tcp:0.0.0.0/80", "tcp:[::1]/80"],
    ["tcp:0:80", "tcp:0:80"],
  ];
  for (const [a, b] of free) checkOverlaps(spec(a), spec(b));
  const taken: [string, string][] = [
    ["tcp:80", "tcp:80:81"],
    ["tcp:0.0.0.0/80", "tcp:127.0.0.1/80"],
    ["udp:127.0.0.1/80", "udp:0.0.0.0/80"],
    ["tcp:[::]/80", "tcp:127.0.0.1/80"],
    ["tcp:[::1]/80", "tcp:[::]/80"],
  ];
  for (const [a, b] of taken) {
    assertThrows(() => checkOverlaps(spec(a), spec(b)), RangeError, "overlaps", `${a} ${b}`);
    assertThrows(() => checkOverlaps([...spec(a), ...spec(b)]), RangeError, "overlaps", `${a} ${b}`);
  }
  // What is bound already is not judged.
  checkOverlaps(spec("tcp:81"), [...spec("tcp:80"), ...spec("tcp:80")]);
});

Deno.test("parsePortSpec leaves out what is excluded, wherever that stands, and reads interfaces", () => {
  const forms: [string, string[]][] = [
    ["80-83,~81-82", ["tcp 127.0.0.1:80 -> 80", "tcp 127.0.0.1:83 -> 83"]],
    ["~443,443,444:8444", ["tcp 127.0.0.1:444 -> 8444"]],
    ["80,~80", []],
    ["none", []],
    ["0.0.0.0%eth0/80", ["tcp 0.0.0.0:80 by eth0 -> 80"]],
    ["[::1]%lo/80:90", ["tcp [::1]:80 by lo -> 90"]],
    ["%wlan0.5/80", ["tcp [::]:80 by wlan0.5 -> 80"]],
  ];
  for (const [text, specs] of forms) assertEquals(read(text), specs, text);
});

Deno.test("parsePortSpec takes all for every port that is not ephemeral, each to be left out if it cannot be had", () => {
  const all = parsePortSpec("udp", "::1/all:10.0.2.20"), ports = new Set(all.map(({ port }) => port));
  assertEquals(all.every(({ isOptional }) => isOptional), true);
  assertEquals(formatPortSpec(all[0]!), "udp [::1]:1 -> 10.0.2.20:1");
  assertEquals([32767, 32768, 60999, 61000, 65535].map((port) => ports.has(port)), [true, false, false, true, true]);
  const some = parsePortSpec("tcp", "~1000-65535,~5");
  assertEquals([some.length, some.some(({ port }) => port === 5)], [998, false]);
  // Nobody is told of an overlap with a port that may be left out.
  checkOverlaps([...parsePortSpec("tcp", "all"), ...parsePortSpec("tcp", "80")]);
  checkOverlaps([...parsePortSpec("tcp", "0.0.0.0%eth0/80"), ...parsePortSpec("tcp", "0.0.0.0%eth1/80")]);
  const same = [...parsePortSpec("tcp", "0.0.0.0%eth0/80"), ...parsePortSpec("tcp", "80")];
  assertThrows(() => checkOverlaps(same), RangeError, "tcp 127.0.0.1:80 -> 80 overlaps tcp 0.0.0.0:80 by eth0 -> 80");
});

Deno.test("parsePortRequest and splitForward tell what is to be followed from what is fixed", () => {
  const { fixed, auto } = parsePortRequest("tcp", "[::]%eth0/80,auto,~22,~8000-8999");
  assertEquals(fixed.map(formatPortSpec), ["tcp [::]:80 by eth0 -> 80"]);
  assertEquals([auto?.protocol, `${auto?.address}`, auto?.device], ["tcp", "::", "eth0"]);
  assertEquals([22, 23, 7999, 8000, 8999].map((port) => auto?.isExcluded(port)), [true, false, false, true, true]);
  const texts: [string, string[], number][] = [
    ["tcp:80", ["tcp:80"], 0],
    ["tcp:none", ["tcp:none"], 0],
    ["udp:auto", [], 1],
    ["udp:auto,~53", [], 1],
    ["tcp:::1/auto,80:[fd00::20]/90,~81", ["tcp:::1/80:[fd00::20]/90,~81"], 1],
    ["tcp:[::1]%lo/auto,80", ["tcp:[::1]%lo/80"], 1],
  ];
  for (const [text, kept, followed] of texts) {
    const split = splitForward(text);
    assertEquals([split.fixed, split.auto.length], [kept, followed], text);
    split.fixed.forEach(parseForward);
  }
  assertThrows(() => splitForward("sctp:auto"), TypeError, "it begins with tcp: or udp:");
});
