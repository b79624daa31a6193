// SPDX-License-Identifier: Apache-2.0
// What Connect's programs share: echo.proto as descriptors, headers as pairs, and error details as the google.rpc.Status that gRPC has for them.
import { readFileSync } from 'fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { decodeBinaryHeader, encodeBinaryHeader } from '@connectrpc/connect';

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../echo.pb', import.meta.url))));
export const Echo = registry.getService('polyglot.Echo');
export const Ask = registry.getMessage('polyglot.Ask');
export const Answer = registry.getMessage('polyglot.Answer');

const isBinary = (key) => key.endsWith('-bin');

// Headers as Events have them.
export function pairs(headers) {
  return [...(headers || [])].map(([key, value]) =>
    (isBinary(key) ? { key, bin: Buffer.from(decodeBinaryHeader(value)).toString('base64') } : { key, value }));
}

// The metadata of a Command as a list of names and values.
export function headersOf(c) {
  const metadata = (c.metadata || []).map((p) => [p.key, isBinary(p.key) ? encodeBinaryHeader(Buffer.from(p.bin, 'base64')) : p.value]);
  return [['x-call', c.id], ...metadata];
}

// google.rpc.Status: { code = 1, message = 2, details = 3 }; google.protobuf.Any: { type_url = 1, value = 2 }.
const VARINT = 0;
const BYTES = 2;
const TYPES = 'type.googleapis.com/';
const tag = (number, type) => number << 3 | type;

export function statusOf(error) {
  const status = new BinaryWriter();
  status.uint32(tag(1, VARINT)).int32(error.code);
  status.uint32(tag(2, BYTES)).string(error.rawMessage);
  for (const { type, value } of error.details) {
    status.uint32(tag(3, BYTES)).fork().uint32(tag(1, BYTES)).string(TYPES + type).uint32(tag(2, BYTES)).bytes(value).join();
  }
  return Buffer.from(status.finish()).toString('base64');
}

function detailOf(reader) {
  const detail = {};
  for (const end = reader.uint32() + reader.pos; reader.pos < end;) {
    const [number] = reader.tag();
    if (number === 1) detail.type = reader.string().slice(TYPES.length);
    else detail.value = reader.bytes();
  }
  return detail;
}

export function detailsOf(bytes) {
  const reader = new BinaryReader(bytes);
  const details = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 3) details.push(detailOf(reader));
    else reader.skip(type);
  }
  return details;
}
