/* scan.h: walks those parts of a table that a plan names (term/matchplan.h).
 *
 * A scan stops where it is told to, at the end of a key, and goes on behind that key later, in another pin: what a
 * cursor has to keep is the number of the range and the key. Objects that are there throughout are shown exactly once.
 * If the caller can take back what it was shown of a key, a scan stops within those with very many objects, too: it goes on there
 * as long as the key has the same objects, and otherwise begins the key anew.
 *
 * Ownership   `from` is the caller's when a run begins; afterwards it is lent by the table, until unpinned.
 * Checked by  scan_test.c, tsunami_select_tests.erl
 */
#ifndef TSU_SCAN_H
#define TSU_SCAN_H

#include "engine.h"
#include "term/matchplan.h"

typedef struct tsu_scan {
    const tsu_plan *plan;
    tsu_direction   direction;
    size_t          range;          /* at hand; the first in the direction is 0 */
    const uint8_t  *from;           /* the last key shown of it, or met between two parts of it; NULL: none yet */
    size_t          from_len;
    tsu_status      status;         /* out: NOMEM if a run could not go on */
    /* NULL: all objects of a key are shown in one go. Else called before those of a key that has very many, and with `anew` when
     * they begin again, and what was shown of them counts no more. False: they are not shown, and the run ends behind the key. */
    bool          (*many)(void *ctx, bool anew);
    uint64_t        lax;            /* so many objects at a time may be shown in any order, and after `fn` has answered false; may change on the way */
    bool            within;         /* the objects of `from`, with: */
    tsu_part        part;
    uint32_t        beginnings;
} tsu_scan;

#define TSU_SCAN_MANY 1000u

/* Shows objects, in order if the table is ordered, all of a key or none (of one key the newest first), until `fn` answers
 * false: then what is left of that key is still shown, unless scan->within. True: that was all. Pinned. `budget` bounds the steps between two
 * objects that are shown, nearly. */
bool tsu_scan_run(tsu_thread *self, tsu_table *table, tsu_scan *scan, size_t budget, tsu_object_fn fn, void *ctx);

#endif
