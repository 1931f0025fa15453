/* fuzz_blobs.h: blobs for fuzzers: any number is the handle of one of two. */
#ifndef TSU_TESTING_FUZZ_BLOBS_H
#define TSU_TESTING_FUZZ_BLOBS_H

#include "term/codec.h"

#define BLOB_MAX 4096

static inline const uint8_t *blob_of(uint64_t handle)
{
    static uint8_t bytes[2][BLOB_MAX];

    return bytes[handle & 1];
}

static inline void handle_ignore(uint64_t handle) { (void)handle; }

#endif
