/* stress.h: a stress program of whole tables: NAME [SECONDS [ROUNDS [TYPE]]], by the seed of TSU_SEED or a new one, which it prints.
 */
#ifndef TSU_TESTING_STRESS_H
#define TSU_TESTING_STRESS_H

#include "testing/exact.h"
#include "testing/harness.h"

static double         round_seconds = 0.3;
static long           failures;
static tsu_table_type type;             /* of the round */

#define FAIL(...) do { \
        if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) < 20) { printf("FAILED: " __VA_ARGS__); printf("\n"); fflush(stdout); } \
    } while (0)

/* Runs the round with each type of table. In the end nothing may be left, and `done` says what has been done. */
static int stress_main(int argc, char **argv, void (*round)(tsu_thread *self, uint64_t *rng), void (*done)(void))
{
    const char *text = getenv("TSU_SEED");
    uint64_t    seed = text != NULL && *text != 0 ? strtoull(text, NULL, 0) : tsu_test_entropy(), rng = seed;
    long        rounds = argc > 2 ? atol(argv[2]) : 1;
    tsu_thread *self;

    if (argc > 1) round_seconds = atof(argv[1]);
    printf("TSU_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    self = exact_setup(seed);
    for (long i = 0; i < rounds && failures == 0; i++)
        for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
            if (argc > 3 && atoi(argv[3]) != t) continue;
            type = (tsu_table_type)t;
            round(self, &rng);
        }
    if (exact_left(self, 0) != 0)
        FAIL("%llu bytes are left when all is deleted", (unsigned long long)exact_left(self, 0));
    done();
    printf("%ld rounds, %ld failures\n", rounds, failures);
    printf("%d passed, %d failed\n", failures == 0, failures != 0);
    return failures == 0 ? 0 : 1;
}

#endif
