/* status.h: the one error type of the engine, and a name for each value.
 *
 * Functions that can fail return a tsu_status; results go out through the last
 * parameters, which are set only on TSU_OK. "Not found" is an answer, not an
 * error, and has its own result.
 */
#ifndef TSU_BASE_STATUS_H
#define TSU_BASE_STATUS_H

typedef enum tsu_status {
    TSU_OK = 0,
    TSU_NOMEM,      /* an allocation failed; nothing was changed */
    TSU_BADARG,     /* an argument makes no sense */
    TSU_CORRUPT,    /* bytes that were read are not what a writer writes */
    TSU_EXISTS,     /* an insert_new met a key that is there */
    TSU_GONE,       /* the table was deleted meanwhile */
    TSU_AGAIN,      /* the budget is used up: call again to go on */
    TSU_LIMIT       /* a size beyond what the format can hold */
} tsu_status;

/* A constant string, never NULL. */
static inline const char *tsu_status_name(tsu_status s)
{
    switch (s) {
    case TSU_OK:      return "ok";
    case TSU_NOMEM:   return "nomem";
    case TSU_BADARG:  return "badarg";
    case TSU_CORRUPT: return "corrupt";
    case TSU_EXISTS:  return "exists";
    case TSU_GONE:    return "gone";
    case TSU_AGAIN:   return "again";
    case TSU_LIMIT:   return "limit";
    }
    return "unknown";
}

/* One way out: on error, remember it in `s` and go to `done`. */
#define TRY(s, call) do { if (((s) = (call)) != TSU_OK) goto done; } while (0)

#endif
