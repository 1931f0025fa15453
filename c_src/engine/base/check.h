/* check.h: assertions.
 *
 * CHECK stays in every build: memory safety, and whatever would put wrong bytes
 * on a disk. DCHECK is for the costly ones and exists only where TSU_DEBUG is
 * defined (tests, sanitizers, fuzzers). Neither condition may have side effects.
 * Arguments from Erlang are input and earn a status, never a CHECK.
 */
#ifndef TSU_BASE_CHECK_H
#define TSU_BASE_CHECK_H

#include "base/env.h"

#define TSU_LIKELY(x)   __builtin_expect(!!(x), 1)
#define TSU_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* A function that stays one: taken into its caller, it would have that one save registers on the way that matters. */
#define TSU_APART       __attribute__((noinline))

#define CHECK(cond) \
    do { if (TSU_UNLIKELY(!(cond))) tsu_env_abort(__FILE__, __LINE__, #cond); } while (0)

#ifdef TSU_DEBUG
#define DCHECK(cond) CHECK(cond)
#else
#define DCHECK(cond) do { (void)sizeof(cond); } while (0)
#endif

/* A fault put in on purpose, to see a test find it (c_src/testing/plants.sh). */
#ifdef TSU_PLANT
#define PLANTED(n) (TSU_PLANT == (n))
#else
#define PLANTED(n) false
#endif

#define UNREACHABLE() tsu_env_abort(__FILE__, __LINE__, "unreachable")

#endif
