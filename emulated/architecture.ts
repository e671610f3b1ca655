/**
 * What differs between the kinds of machines.
 *
 * @module
 */

/** The kinds of machines there are. */
export type ArchitectureName = "x86-64" | "arm64" | "arm64-16k";

export interface Architecture {
  /** Debian's name for it. */
  readonly debian: "amd64" | "arm64";
  /** Deno's name for it. */
  readonly deno: typeof Deno.build.arch;
  /** Metapackages that depend on the newest kernel: the first that is known. */
  readonly kernels: readonly string[];
  /**
   * The release of Debian whose kernel and libraries are taken; null: the host's
   * own distribution.
   */
  readonly release: string | null;
  readonly qemu: string;
  readonly qemuPackage: string;
  /** A file that another package has, and the package. */
  readonly firmware: { readonly path: string; readonly package: string } | null;
  /** Bytes. */
  readonly pageSize: number;
  /** What a devdax device's mappings must be aligned to, in bytes. */
  readonly devdaxAlignment: number;
  readonly console: string;
  /** The CPU model without KVM. */
  readonly cpu: string;
  /** Whether the caches may be promised to survive a power cut. */
  readonly eadr: boolean;
}

const MiB = 1024 * 1024;

const arm64: Architecture = {
  debian: "arm64",
  deno: "aarch64",
  kernels: ["linux-image-cloud-arm64"],
  // The kernel before has no DAX on arm64.
  release: "trixie",
  qemu: "qemu-system-aarch64",
  qemuPackage: "qemu-system-arm",
  // Only with it there is ACPI, which tells the kernel about the NVDIMMs.
  firmware: {
    path: "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    package: "qemu-efi-aarch64",
  },
  pageSize: 4096,
  devdaxAlignment: 2 * MiB,
  console: "ttyAMA0",
  // A Cortex-A72 has no pages of 16 KiB.
  cpu: "neoverse-n1",
  eadr: false,
};

export const architectures: Readonly<Record<ArchitectureName, Architecture>> = {
  "x86-64": {
    debian: "amd64",
    deno: "x86_64",
    // Debian's, Ubuntu's.
    kernels: ["linux-image-cloud-amd64", "linux-image-virtual"],
    release: null,
    qemu: "qemu-system-x86_64",
    qemuPackage: "qemu-system-x86",
    firmware: null,
    pageSize: 4096,
    devdaxAlignment: 2 * MiB,
    console: "ttyS0",
    // With a smaller one the guest waits for randomness.
    cpu: "max",
    eadr: true,
  },
  arm64,
  "arm64-16k": {
    ...arm64,
    kernels: ["linux-image-arm64-16k"],
    pageSize: 16_384,
    devdaxAlignment: 32 * MiB,
  },
};
