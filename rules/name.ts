/**
 * Names of hosts, in the one form in which they are compared: lower case, A-labels, no final dot.
 *
 * The platform's URL does UTS 46 (domain to ASCII), for names with letters beyond ASCII as for `xn--` labels, whose
 * Punycode it checks. What it does beside that, percent signs and numbers as IPv4 addresses, is kept from it.
 *
 * @module
 */

/** Most bytes of a label (RFC 1035 section 2.3.4). */
const MOST_LABEL = 63;
/** Most letters of a name as text (RFC 1035 section 2.3.4, less the two bytes of lengths that text has not). */
const MOST_NAME = 253;

/**
 * The name that `text` is, in the form in which names are compared. Throws a `TypeError` whose message is what is wrong
 * alone, in the words "NAME is …".
 */
export function parseName(text: string): string {
  if (text === "") throw new TypeError("a name is missing, which is such as registry.example");
  const name = toAscii(text.endsWith(".") ? text.slice(0, -1) : text);
  const labels = name.split(".");
  if (labels.includes("")) throw new TypeError(`${text} has an empty label: a name is such as registry.example`);
  const long = labels.find((label) => label.length > MOST_LABEL);
  if (long !== undefined) throw new TypeError(`${long} has more than the ${MOST_LABEL} letters that a label can have`);
  if (name.length > MOST_NAME) {
    throw new TypeError(`the name has ${name.length} letters, and ${MOST_NAME} are the most that DNS has`);
  }
  // What ends in a number is an address to whoever resolves it, or nothing (WHATWG URL, "ends in a number").
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!)) {
    throw new TypeError(
      `${text} ends in a number, which no name does, and an IPv4 address is four numbers from 0 to 255`,
    );
  }
  return name;
}

function toAscii(text: string): string {
  const wrong = /\p{ASCII}/u.exec(text.replaceAll(/[A-Za-z0-9._-]/g, ""));
  if (wrong !== null) {
    throw new TypeError(
      `${text} is no name: ${JSON.stringify(wrong[0])} is none of letters, digits, "-", "_" and "."`,
    );
  }
  const isPlain = /^[\w.-]*$/.test(text) && !/(^|\.)xn--/i.test(text);
  if (isPlain) return text.toLowerCase();
  // A last label of letters, so that nothing is read as an IPv4 address here; it is looked at afterwards.
  const url = URL.canParse(`http://${text}.x`) ? new URL(`http://${text}.x`).hostname : "";
  if (!/^[a-z0-9._-]+\.x$/.test(url)) {
    throw new TypeError(`${text} is no name that DNS can have (UTS 46), look for what is not a letter`);
  }
  return url.slice(0, -2);
}
