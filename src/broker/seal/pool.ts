/** From so many bytes on, zstd works in the pool of threads: below, the way there and back takes longer than the work. */
export const inPoolFromBytes = 32 * 1024;
