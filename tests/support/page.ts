import { pageSize } from "../../ffi/process/placement.ts";

/** The system's page size in bytes: 4,096, or up to 65,536 on arm64. */
export const PAGE = pageSize();
