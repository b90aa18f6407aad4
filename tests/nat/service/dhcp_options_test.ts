import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DHCP_OPTION_NAMES, parseDhcpOption, parseDhcpOptions } from "../../../nat/service/dhcp_options.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";

Deno.test("parseDhcpOptions reads every name", () => {
  const texts = [
    "bootfile-name=http://10.0.2.2:8000/a=b.ipxe",
    "next-server=10.0.2.9",
    "tftp-server-name=boot1",
    "host-name=vm1",
    "domain-name=example.com",
    "domain-search=example.com,lab.example.net",
  ];
  assertEquals(parseDhcpOptions(texts), {
    bootFile: "http://10.0.2.2:8000/a=b.ipxe",
    nextServer: parseIpv4("10.0.2.9"),
    serverName: "boot1",
    hostName: "vm1",
    domainName: "example.com",
    domainSearch: ["example.com", "lab.example.net"],
  });
  assertEquals(texts.map((text) => parseDhcpOption(text).name), [...DHCP_OPTION_NAMES]);
  assertEquals(parseDhcpOptions([]), {});
});

Deno.test("parseDhcpOptions says in one line what would be right", () => {
  const bad: [string, string][] = [
    ["host-name", "it is NAME=VALUE, such as host-name=vm1"],
    ["=x", "its name is one of bootfile-name, next-server, tftp-server-name, host-name, domain-name, domain-search"],
    ["router=10.0.2.2", "its name is one of"],
    ["Host-Name=vm1", "its name is one of"],
    ["constructor=x", "its name is one of"],
    ["bootfile-name=", "it is 1 to 127 bytes"],
    [`bootfile-name=${"f".repeat(128)}`, "it is 1 to 127 bytes"],
    [`bootfile-name=${"é".repeat(64)}`, "it is 1 to 127 bytes"],
    ["bootfile-name=a\nb", "it is 1 to 127 bytes"],
    [`tftp-server-name=${"s".repeat(64)}`, "it is 1 to 63 bytes"],
    ["next-server=boot1", "it is an IPv4 address, such as 10.0.2.2"],
    ["next-server=::1", "it is an IPv4 address"],
    ["next-server=10.0.2.256", "it is an IPv4 address"],
    ["host-name=", "it is a name of letters, digits and hyphens"],
    ["host-name=-x", "it is a name of letters"],
    ["host-name=a..b", "it is a name of letters"],
    [`host-name=${"h".repeat(64)}`, "it is a name of letters"],
    ["domain-name=exa mple", "it is a domain, such as example.com"],
    [`domain-name=${"a.".repeat(127)}a`, "it is a domain"],
    ["domain-search=example.com,", "it is domains joined by commas"],
    [`domain-search=${Array.from({ length: 40 }, (_, i) => `network${i}`).join(",")}`, "more than an option holds"],
  ];
  for (const [text, part] of bad) {
    assertStringIncludes(assertThrows(() => parseDhcpOption(text), TypeError).message, part, text);
    const { message } = assertThrows(() => parseDhcpOptions([text]), TypeError);
    assertStringIncludes(message, `Cannot use DHCP option ${text}: `);
  }
  const twice = assertThrows(() => parseDhcpOptions(["host-name=a", "domain-name=b", "host-name=c"]), TypeError);
  assertEquals(twice.message, "Cannot use DHCP option host-name=c: host-name is given already, once is enough");
});
