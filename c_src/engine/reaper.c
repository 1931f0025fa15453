/* reaper.c: one thread, some lock-free stacks that it empties whole. */
#include "batch.h"
#include "mem/slab.h"
#include "reaper.h"
#include "view.h"

#define STEP_PIECES 512u
#define SLEEP_NS    1000000000u
#define NAP_NS      1000000u          /* while something waits for others to unpin */

enum { LET_GO, FORGOTTEN, SWEPT };    /* stages of a snapshot: view.h */

static struct {
    tsu_word       contents, groups, batches, snapshots;     /* stacks: whatever is put */
    tsu_snapshot  *aging;                         /* its own: snapshots, until those who may know of them have unpinned */
    tsu_word       waiting;
    tsu_word       asleep, stop, hungry;
    tsu_env_mutex  mutex;
    tsu_env_cond   cond;
    tsu_env_thread thread;
    bool           started;
} reaper;

static void wake(void)
{
    if (tsu_load_seq(&reaper.asleep) == 0) return;
    tsu_env_mutex_lock(&reaper.mutex);
    tsu_env_cond_signal(&reaper.cond);
    tsu_env_mutex_unlock(&reaper.mutex);
}

static void push(tsu_word *stack, void *piece, void **link)
{
    uint64_t head = tsu_load_acquire(stack);

    tsu_count_add(&reaper.waiting, 1);
    do {
        *link = (void *)(uintptr_t)head;
    } while (!tsu_cas(stack, &head, (uint64_t)(uintptr_t)piece));
    wake();
}

void tsu_reaper_put_contents(struct tsu_contents *contents)
{
    push(&reaper.contents, contents, (void **)&contents->next);
}

void tsu_reaper_put_batch(tsu_batch *batch) { push(&reaper.batches, batch, (void **)tsu_batch_link(batch)); }

void tsu_reaper_put_group(tsu_thread *self, tsu_group *group)
{
    (void)self;
    /* nobody can see the group any more, so that its base may hold the link */
    push(&reaper.groups, group, (void **)(void *)&group->base);
}

void tsu_reaper_put_snapshot(tsu_snapshot *s) { push(&reaper.snapshots, s, (void **)(void *)&s->reaper_next); }

void tsu_reaper_feed(void)
{
    tsu_store_seq(&reaper.hungry, 1);
    wake();
}

uint64_t tsu_reaper_waiting(void) { return tsu_load_acquire(&reaper.waiting); }

static void *take(tsu_word *stack) { return (void *)(uintptr_t)tsu_exchange(stack, 0); }

static void done_one(void) { tsu_count_add(&reaper.waiting, (uint64_t)-1); }

static void between_steps(void)
{
    if (tsu_exchange(&reaper.hungry, 0) != 0) tsu_slab_prepare();
    tsu_env_yield();
}

static void contents_run(tsu_thread *self)
{
    struct tsu_contents *c = take(&reaper.contents), *next;

    for (; c != NULL; c = next) {
        next = c->next;
        while (!c->kind->reap(self, c->root, STEP_PIECES, tsu_version_destroy)) between_steps();
        tsu_slab_free(self, c, sizeof *c);
        done_one();
    }
}

static void groups_run(tsu_thread *self)
{
    tsu_group *g = take(&reaper.groups), *next;

    for (; g != NULL; g = next) {
        next = (tsu_group *)(uintptr_t)g->base;
        while (!tsu_group_reap(self, g, STEP_PIECES)) tsu_env_yield();
        done_one();
    }
}

static void batches_run(tsu_thread *self)
{
    tsu_batch *b = take(&reaper.batches), *next;
    bool       over;

    for (; b != NULL; b = next) {
        next = *tsu_batch_link(b);
        do {
            tsu_pin(self);
            over = tsu_batch_finish(self, b, STEP_PIECES);
            tsu_unpin(self);
            if (!over) tsu_env_yield();
        } while (!over);
        done_one();
    }
}

static void sweep(tsu_thread *self, tsu_snapshot *s)
{
    tsu_record   *at = NULL;
    tsu_snapshot *other;

    /* before it begins: who still writes for one while it goes on may leave a tombstone behind it */
    for (other = reaper.aging; other != NULL; other = other->reaper_next)
        if (tsu_table_contents(other->table) == tsu_table_contents(s->table) && other->stage == FORGOTTEN && tsu_snapshot_waited(other)) other->stage = SWEPT;
    while (!tsu_snapshot_sweep(self, s, &at, STEP_PIECES)) between_steps();
}

static void snapshots_run(tsu_thread *self)
{
    tsu_snapshot *s = take(&reaper.snapshots), **at, *next;

    for (; s != NULL; s = next) {
        next = s->reaper_next;
        s->reaper_next = reaper.aging;
        reaper.aging = s;
    }
    for (at = &reaper.aging; (s = *at) != NULL;) {
        if (s->stage == LET_GO && tsu_snapshot_waited(s)) {
            tsu_snapshot_forget(s);
            tsu_snapshot_wait(s);
            s->stage = FORGOTTEN;
        }
        if (s->stage == FORGOTTEN && tsu_snapshot_waited(s)) {
            sweep(self, s);
            s->stage = SWEPT;
        }
        if (s->stage != SWEPT) {
            at = &s->reaper_next;
            continue;
        }
        *at = s->reaper_next;
        tsu_snapshot_free(self, s);
        done_one();
    }
}

/* Is there a snapshot that need not wait any more? */
static bool ripe(void)
{
    const tsu_snapshot *s = reaper.aging;

    while (s != NULL && !tsu_snapshot_waited(s)) s = s->reaper_next;
    return s != NULL;
}

static bool idle(void)
{
    return tsu_load_seq(&reaper.contents) == 0 && tsu_load_seq(&reaper.groups) == 0
           && tsu_load_seq(&reaper.batches) == 0 && tsu_load_seq(&reaper.snapshots) == 0 && tsu_load_seq(&reaper.hungry) == 0;
}

static void run(void *unused)
{
    tsu_thread *self = NULL;
    uint64_t    nap;

    (void)unused;
    /* short of memory now, perhaps not a little later; what is put meanwhile waits */
    while ((self = tsu_thread_self()) == NULL) tsu_env_yield();
    for (;;) {
        if (tsu_exchange(&reaper.hungry, 0) != 0) tsu_slab_prepare();
        contents_run(self);
        groups_run(self);
        batches_run(self);
        snapshots_run(self);
        (void)tsu_ebr_collect(self, SIZE_MAX);
        if (!idle() || ripe()) continue;
        if (tsu_load_seq(&reaper.stop) != 0 && reaper.aging == NULL) return;
        nap = reaper.aging != NULL ? NAP_NS : SLEEP_NS;
        tsu_env_mutex_lock(&reaper.mutex);
        tsu_store_seq(&reaper.asleep, 1);
        if (idle() && (reaper.aging != NULL || tsu_load_seq(&reaper.stop) == 0)) tsu_env_cond_wait_ns(&reaper.cond, &reaper.mutex, nap);
        tsu_store_seq(&reaper.asleep, 0);
        tsu_env_mutex_unlock(&reaper.mutex);
    }
}

tsu_status tsu_reaper_start(void)
{
    tsu_env_mutex_init(&reaper.mutex);
    tsu_env_cond_init(&reaper.cond);
    tsu_store_seq(&reaper.stop, 0);
    reaper.started = tsu_env_thread_start(&reaper.thread, run, NULL);
    if (reaper.started) return TSU_OK;
    tsu_env_cond_deinit(&reaper.cond);
    tsu_env_mutex_deinit(&reaper.mutex);
    return TSU_NOMEM;
}

void tsu_reaper_stop(void)
{
    if (!reaper.started) return;
    tsu_store_seq(&reaper.stop, 1);
    tsu_env_mutex_lock(&reaper.mutex);
    tsu_env_cond_signal(&reaper.cond);
    tsu_env_mutex_unlock(&reaper.mutex);
    tsu_env_thread_join(&reaper.thread);
    tsu_env_cond_deinit(&reaper.cond);
    tsu_env_mutex_deinit(&reaper.mutex);
    reaper.started = false;
}
