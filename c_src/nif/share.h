/* share.h: binaries that are put into many objects, one after another, are kept once.
 *
 * The VM's binaries cannot be held on to (DECISIONS 7), so each object has a copy. But a program that puts one and the same
 * binary into thousands of objects gives it at the same address each time: an address that comes again and again with the same
 * bytes gets a blob (term.h), and the objects that follow refer to that. Whether the bytes are the same is looked at each time.
 *
 * Ownership   a blob is counted: a slot here holds one reference, the caller gets another.
 * Threads     all, any: a slot that is in use elsewhere answers "not shared".
 * Limits      64 slots by address; each keeps a binary of less than TSU_BLOB_BYTES_MIN until others have taken its place.
 * Checked by  tsunami_share_tests.erl
 */
#ifndef TSU_NIF_SHARE_H
#define TSU_NIF_SHARE_H

#include "erl_nif.h"

#include <stddef.h>
#include <stdint.h>

/* Smaller ones are cheaper to copy. */
#define TSU_SHARE_BYTES_MIN 65

/* The blob with these bytes, one reference of it the caller's; NULL: keep a copy. */
void *tsu_share_take(ErlNifResourceType *type, const uint8_t *bytes, size_t size);
/* Lets go of all. Nobody else is in here. */
void tsu_share_clear(void);

#endif
