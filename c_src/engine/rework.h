/* rework.h: changes the objects of one key of a bag that has very many of them, in parts.
 *
 * What stays of them is copied while the key is as it was; then all of it takes the place of the old ones at one moment. If somebody has
 * changed the key meanwhile, it begins anew; after a few such beginnings tsu_table_update does it in one go.
 *
 * Ownership   a change has copies of the key and of objects, with their handles; of the table it holds nothing.
 * Threads     one at a time.
 * Checked by  scan_test.c, tsunami_long_tests.erl
 */
#ifndef TSU_REWORK_H
#define TSU_REWORK_H

#include "engine.h"

typedef struct tsu_rework tsu_rework;

/* Copies the key. */
tsu_status tsu_rework_create(tsu_thread *self, const uint8_t *key, size_t len, tsu_rework **out);
/* Asks update->fn (as of tsu_table_update in a bag; `unused` is called only for an object that it put when memory is short) about at
 * most `budget` objects. AGAIN: call again, as after any other AGAIN of a call that writes. OK: changed; update->hits is the sum of what
 * fn counted. FAIL of fn: *verdict, and nothing is changed. Pinned. */
tsu_status tsu_rework_run(tsu_thread *self, tsu_table *table, tsu_rework *change, tsu_update *update, size_t budget,
                          tsu_verdict *verdict);
/* Any time. Accepts NULL. Pinned. */
void tsu_rework_destroy(tsu_thread *self, tsu_rework *change);

#endif
