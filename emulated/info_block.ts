/**
 * The block by which Linux knows what an NVDIMM is used for. Where it is there
 * already, the guest needs no ndctl and nothing is left to format at boot.
 *
 * @module
 */

const MiB = 1024 * 1024;

/** Where the info block lies in a namespace without labels. */
export const infoBlockOffset = 4096;
/** Where the data begins, with mappings aligned to so many bytes. */
export function dataOffset(alignment: number): number {
  return Math.max(2 * MiB, alignment);
}

/** How an NVDIMM is used: with a file system on it, or as a device to map. */
export type NamespaceMode = "fsdax" | "devdax";

export interface InfoBlockOptions {
  mode: NamespaceMode;
  /** Bytes of the NVDIMM. */
  size: number;
  /** The kernel's page size, in bytes. */
  pageSize: number;
  /** What mappings must be aligned to, in bytes. */
  alignment: number;
}

/** The 4,096 bytes of `struct nd_pfn_sb` (linux/drivers/nvdimm/pfn.h). */
export function infoBlock(options: InfoBlockOptions): Uint8Array<ArrayBuffer> {
  const { mode, size, pageSize, alignment } = options;
  const start = dataOffset(alignment);
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const signature = mode === "fsdax" ? "NVDIMM_PFN_INFO" : "NVDIMM_DAX_INFO";
  bytes.set(new TextEncoder().encode(signature));
  crypto.getRandomValues(bytes.subarray(16, 32)); // uuid
  // parent_uuid, at 32, is all zeros where there are no labels.
  view.setUint16(52, 1, true); // version_major
  view.setUint16(54, 4, true); // version_minor
  view.setBigUint64(56, BigInt(start), true);
  view.setBigUint64(64, BigInt((size - start) / pageSize), true); // npfns
  view.setUint32(72, 1, true); // mode: the page structures lie in RAM
  view.setUint32(84, alignment, true);
  view.setUint32(88, pageSize, true);
  view.setUint16(92, 64, true); // page_struct_size
  view.setBigUint64(4088, fletcher64(bytes), true);
  return bytes;
}

/** The checksum that the kernel computes, with the field for it at zero. */
export function fletcher64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let low = 0;
  let high = 0n;
  for (let offset = 0; offset < bytes.length; offset += 4) {
    low = (low + view.getUint32(offset, true)) >>> 0;
    high += BigInt(low);
  }
  return BigInt.asUintN(32, high) << 32n | BigInt(low);
}
