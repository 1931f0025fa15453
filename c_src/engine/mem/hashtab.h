/* hashtab.h: set, bag and duplicate_bag: linear hashing on the top bits of the hash.
 *
 * A bucket is an interval of hashes, so a traversal is a 64-bit position and its order never changes as the
 * table grows. A bucket begins with one 64-byte line:
 *
 *     ctl | slot 0 | slot 1 | ... | slot 6        8 bytes each
 *
 *     slot   a cell: pointer and kind, and above them 16 bits of the hash (the "tag")
 *     slot 6 may be a link (kind OTHER) to a side line of four more slots, the last of which may be a link, ...
 *     ctl    bits 0-2: IDLE (the rest is a stamp), INSERTING (bits 3-47: the version, bit 48: it is a group,
 *            bits 49-63: where in the bucket it goes), FREEZING, FORWARD
 *
 * Inserting a new key: read ctl IDLE, find no such key in the bucket, choose an empty slot, CAS ctl to INSERTING:
 * there the key begins to exist. Then anybody CASes the slot and puts ctl back to IDLE with a new stamp. Overwriting
 * and deleting CAS the slot. So two inserts of one key cannot both succeed (H1), and a late helper
 * finds another stamp (H2).
 *
 * Lines lie in segments of 16, segments in a directory with 2^level lines. To grow, a second directory is hung behind
 * the first, and buckets move over one by one, in order, as the number of keys asks for it: ctl to FREEZING, each
 * slot gets its FROZEN bit (H3), all who help then fill the same words into the same fresh slots, and ctl becomes FORWARD. A segment whose
 * buckets have all moved is given back. Shrinking is the same with two buckets into one.
 *
 * A traversal takes a bucket's slots in the order of (hash, key), and each thread remembers where it was: while ctl and era
 * (H5) are what they were, the next step needs neither search nor hash. Who does not stop between two keys takes buckets whole,
 * several at a time, as their slots lie.
 *
 * Invariants  H1  a key has at most one slot in its bucket.
 *             H2  only an announced insertion fills an empty slot, and one at a time is announced in a bucket.
 *             H3  what a frozen bucket holds does not change.
 *             H4  tag and position of a slot agree with the hash of its key.
 *             H5  while ctl is IDLE with one stamp, a slot holds versions of one key, or none, and no key comes to the
 *                 bucket; but the last slot of its lines may become a link, and its version goes on in the side line.
 *                 While the root's era is the same, none of its lines has been retired.
 * Source      Litwin, Linear hashing (1980); the line is that of DLHT (arXiv 2406.09986) with another protocol.
 * Checked by  hashtab_test.c, stress_engine.c, make race
 */
#ifndef TSU_MEM_HASHTAB_H
#define TSU_MEM_HASHTAB_H

#include "mem/kind.h"
#include "term/hash.h"

/* Chosen once, before the first table: keeps an attacker from choosing keys that collide. */
extern uint64_t tsu_hash_seed;

/* mark of a key of a hash table */
static inline uint64_t tsu_hashtab_mark(const uint8_t *key, size_t len) { return tsu_hash(key, len, tsu_hash_seed); }

#endif
