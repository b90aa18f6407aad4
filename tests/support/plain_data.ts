/**
 * Whether a value is plain data, which can be written down and read again.
 *
 * @module
 */

/**
 * Where `value` is no plain data, by path: plain are numbers, booleans, texts and null, and arrays, bytes, maps by
 * number and objects without a class of these. Empty: all of it is.
 */
export function notPlain(value: unknown, path: string): string[] {
  if (value === null || ["number", "boolean", "string"].includes(typeof value) || value instanceof Uint8Array) {
    return [];
  }
  if (Array.isArray(value)) return value.flatMap((entry, i) => notPlain(entry, `${path}[${i}]`));
  if (value instanceof Map) {
    return [...value].flatMap(([key, entry]) => typeof key === "number" ? notPlain(entry, `${path}[${key}]`) : [path]);
  }
  if (typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return [path];
  const names = Object.getOwnPropertyNames(value), symbols = Object.getOwnPropertySymbols(value);
  const own = Object.getOwnPropertyDescriptors(value) as Record<string, PropertyDescriptor>;
  if (symbols.length > 0 || names.some((name) => !("value" in own[name]!))) return [path];
  return names.flatMap((name) => notPlain(own[name]!.value, `${path}.${name}`));
}
