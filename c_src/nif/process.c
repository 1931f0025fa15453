/* process.c: owners, heirs and fixations: the part of registry.h that follows processes. */
#include "base/check.h"
#include "nif/atoms.h"
#include "nif/registry_inner.h"
#include "nif/undertaker.h"

#define PROCESS_BUCKETS_MIN 64

/* Guarded by the mutex. */
static struct {
    tsu_process **buckets;
    uint64_t      mask;
    uint64_t      count;
} processes;

/* --- gifts ------------------------------------------------------------------------------------- */

static tsu_gift *gift_create(ERL_NIF_TERM term)
{
    tsu_gift *gift = tsu_env_alloc(sizeof *gift);

    if (gift == NULL) return NULL;
    gift->env = enif_alloc_env();
    if (gift->env == NULL) {
        tsu_env_free(gift, sizeof *gift);
        return NULL;
    }
    gift->term = enif_make_copy(gift->env, term);
    tsu_store_relaxed(&gift->owner_count, 1);
    return gift;
}

void tsu_gift_release(tsu_gift *gift)
{
    if (gift == NULL || tsu_fetch_add(&gift->owner_count, (uint64_t)-1) != 1) return;
    enif_free_env(gift->env);
    tsu_env_free(gift, sizeof *gift);
}

/* --- the hash of processes ----------------------------------------------------------------------- */

static tsu_process **process_bucket(ERL_NIF_TERM pid)
{
    return &processes.buckets[(((uint64_t)pid * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & processes.mask];
}

static tsu_process *process_find_locked(const ErlNifPid *pid)
{
    tsu_process *p = *process_bucket(pid->pid);

    while (p != NULL && p->pid.pid != pid->pid) p = p->hash_next;
    return p;
}

/* Short of memory the chains get longer. */
static void processes_grow_locked(void)
{
    uint64_t      old_mask = processes.mask, i;
    tsu_process **old = processes.buckets, **more, *p, *next;

    if (processes.count <= old_mask) return;
    more = tsu_env_alloc((old_mask + 1) * 2 * sizeof *more);
    if (more == NULL) return;
    memset(more, 0, (old_mask + 1) * 2 * sizeof *more);
    processes.buckets = more;
    processes.mask = old_mask * 2 + 1;
    for (i = 0; i <= old_mask; i++) {
        for (p = old[i]; p != NULL; p = next) {
            tsu_process **bucket = process_bucket(p->pid.pid);

            next = p->hash_next;
            p->hash_next = *bucket;
            *bucket = p;
        }
    }
    tsu_env_free(old, (old_mask + 1) * sizeof *old);
}

/* With its monitor set; NULL: dead, or (*s NOMEM) short of memory. */
static tsu_process *process_create(ErlNifEnv *env, const ErlNifPid *pid, tsu_status *s)
{
    tsu_process *p = enif_alloc_resource(tsu_type_process, sizeof *p);

    *s = TSU_NOMEM;
    if (p == NULL) return NULL;
    memset(p, 0, sizeof *p);
    p->pid = *pid;
    if (enif_monitor_process(env, p, pid, &p->monitor) != 0) {
        enif_release_resource(p);
        *s = TSU_GONE;
        return NULL;
    }
    *s = TSU_OK;
    return p;
}

tsu_status tsu_process_obtain_locked(ErlNifEnv *env, const ErlNifPid *pid, tsu_process **out)
{
    tsu_status   s = TSU_OK;
    tsu_process *p = process_find_locked(pid), *made;

    if (TSU_LIKELY(p != NULL)) {
        *out = p;
        return p->dead ? TSU_GONE : TSU_OK;
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    made = process_create(env, pid, &s);
    tsu_env_mutex_lock(&tsu_registry_mutex);
    if (made == NULL) return s;
    p = process_find_locked(pid);
    if (p == NULL && !made->dead) {
        tsu_process **bucket;

        processes.count++;
        processes_grow_locked();
        bucket = process_bucket(pid->pid);
        made->hash_next = *bucket;
        made->hashed = true;
        *bucket = made;
        *out = made;
        return TSU_OK;
    }
    /* Somebody else has made one, or the monitor has fired already. */
    if (p != NULL) s = p->dead ? TSU_GONE : TSU_OK;
    else s = TSU_GONE;
    if (s == TSU_OK) *out = p;
    if (s == TSU_OK) enif_keep_resource(p);
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    enif_demonitor_process(env, made, &made->monitor);
    enif_release_resource(made);
    tsu_env_mutex_lock(&tsu_registry_mutex);
    if (s == TSU_OK) {
        if (p->dead) s = TSU_GONE;
        enif_release_resource(p);      /* the registry keeps it, or it is dead and not used */
    }
    return s;
}

uint64_t tsu_registry_process_count(void)
{
    uint64_t count;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    count = processes.count;
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    return count;
}

/* --- lists of tables ----------------------------------------------------------------------------- */

void tsu_process_own_locked(tsu_process *process, tsu_live *live)
{
    tsu_live **first = &process->owned[live->heir_process != NULL];

    live->owner_process = process;
    live->owned_prev = NULL;
    live->owned_next = *first;
    if (*first != NULL) (*first)->owned_prev = live;
    *first = live;
}

void tsu_process_disown_locked(tsu_live *live)
{
    tsu_process *process = live->owner_process;

    if (live->owned_prev != NULL) live->owned_prev->owned_next = live->owned_next;
    else process->owned[process->owned[1] == live] = live->owned_next;
    if (live->owned_next != NULL) live->owned_next->owned_prev = live->owned_prev;
    live->owner_process = NULL;
}

void tsu_process_unheir_locked(tsu_live *live)
{
    if (live->heir_process == NULL) return;
    if (live->heir_prev != NULL) live->heir_prev->heir_next = live->heir_next;
    else live->heir_process->heir_of = live->heir_next;
    if (live->heir_next != NULL) live->heir_next->heir_prev = live->heir_prev;
    live->heir_process = NULL;
}

bool tsu_process_heir_waits_locked(ErlNifEnv *env, const tsu_live *live)
{
    tsu_process *heir = live->heir_process;

    return heir != NULL && heir != live->owner_process && !heir->dead &&
           enif_is_process_alive(env, &heir->pid);
}

/* --- giving away ---------------------------------------------------------------------------------- */

/* `name` 0: the table is not named. Data of another environment is copied. Pinned. */
static void transfer_send(ErlNifEnv *env, const ErlNifPid *to, const ErlNifPid *from,
                          const tsu_live *live, ERL_NIF_TERM name, ERL_NIF_TERM data)
{
    ErlNifEnv   *message = enif_alloc_env();
    ERL_NIF_TERM table;

    if (message == NULL) return;
    table = name != 0 ? name : tsu_live_tid(message, live);
    enif_send(env, to, message,
              enif_make_tuple4(message, tsu_atom_ets_transfer, table, enif_make_pid(message, from),
                               enif_make_copy(message, data)));
    enif_free_env(message);
}

static ERL_NIF_TERM name_or_none(const tsu_live *live)
{
    return live->named ? (ERL_NIF_TERM)tsu_load_acquire(&live->name) : 0;
}

tsu_status tsu_registry_give(ErlNifEnv *env, tsu_live *live, const ErlNifPid *from,
                             const ErlNifPid *to, ERL_NIF_TERM data, bool *anchored)
{
    tsu_status   s = TSU_OK;
    tsu_process *process = NULL;
    ERL_NIF_TERM name = 0;

    *anchored = false;
    tsu_env_mutex_lock(&tsu_registry_mutex);
    s = tsu_process_obtain_locked(env, to, &process);
    if (s == TSU_GONE) s = TSU_BADARG;
    if (s == TSU_OK && (live->gone || tsu_load_relaxed(&live->owner) != from->pid)) s = TSU_GONE;
    if (s == TSU_OK) {
        tsu_process_disown_locked(live);
        tsu_process_own_locked(process, live);
        tsu_store_seq(&live->owner, to->pid);
        *anchored = tsu_load_relaxed(&live->anchored) != 0;
        name = name_or_none(live);
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    /* Pinned by the caller, so that `live` stays whatever the new owner does with the table. */
    if (s == TSU_OK && !*anchored) transfer_send(env, to, from, live, name, data);
    return s;
}

void tsu_registry_unanchor(ErlNifEnv *env, tsu_live *live, const ErlNifPid *given)
{
    ErlNifPid    heir;
    tsu_gift    *gift = NULL;
    ERL_NIF_TERM name = 0;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    tsu_store_release(&live->anchored, 0);
    if (given != NULL && !live->gone && live->heir_process != NULL && live->owner_process == live->heir_process) {
        heir = live->heir_process->pid;
        name = name_or_none(live);
        gift = live->heir_data;
        tsu_fetch_add(&gift->owner_count, 1);
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (gift == NULL) return;
    transfer_send(env, &heir, given, live, name, gift->term);
    tsu_gift_release(gift);
}

tsu_status tsu_registry_heir(ErlNifEnv *env, tsu_live *live, const ErlNifPid *heir, ERL_NIF_TERM data)
{
    tsu_status   s = TSU_OK;
    tsu_process *process = NULL, *owner;
    tsu_gift    *gift = NULL, *old = NULL;

    if (heir != NULL) {
        gift = gift_create(data);
        if (gift == NULL) return TSU_NOMEM;
    }
    tsu_env_mutex_lock(&tsu_registry_mutex);
    if (heir != NULL) s = tsu_process_obtain_locked(env, heir, &process);
    if (s == TSU_GONE) {
        process = NULL;
        s = TSU_OK;
    }
    if (s == TSU_OK && live->gone) s = TSU_GONE;
    if (s == TSU_OK) {
        tsu_process_unheir_locked(live);
        old = live->heir_data;
        live->heir_data = NULL;
        tsu_store_release(&live->heir, 0);
        if (process != NULL) {
            live->heir_process = process;
            live->heir_prev = NULL;
            live->heir_next = process->heir_of;
            if (process->heir_of != NULL) process->heir_of->heir_prev = live;
            process->heir_of = live;
            live->heir_data = gift;
            gift = NULL;
            tsu_store_release(&live->heir, heir->pid);
            owner = live->owner_process;
            tsu_process_disown_locked(live);
            tsu_process_own_locked(owner, live);
        }
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    tsu_gift_release(gift);
    tsu_gift_release(old);
    return s;
}

/* --- fixations --------------------------------------------------------------------------------------- */

static tsu_fixation *fixation_find_locked(tsu_process *process, const tsu_live *live)
{
    tsu_fixation *f = process->fixations;

    while (f != NULL && f->live != live) f = f->process_next;
    return f;
}

tsu_status tsu_registry_fix(ErlNifEnv *env, tsu_thread *self, tsu_live *live, const ErlNifPid *pid)
{
    tsu_status    s = TSU_OK;
    tsu_process  *process = NULL;
    tsu_fixation *f = NULL, *spare = tsu_env_alloc(sizeof *spare);

    if (spare == NULL) return TSU_NOMEM;
    tsu_env_mutex_lock(&tsu_registry_mutex);
    TRY(s, tsu_process_obtain_locked(env, pid, &process));
    if (live->gone) {
        s = TSU_GONE;
        goto done;
    }
    f = fixation_find_locked(process, live);
    if (f == NULL) {
        if (live->fixations == NULL) {
            TRY(s, tsu_table_fix(self, live->table));
            live->fixed_monotonic = enif_monotonic_time(ERL_NIF_NSEC);
            live->fixed_system = live->fixed_monotonic + enif_time_offset(ERL_NIF_NSEC);
        }
        f = spare;
        spare = NULL;
        memset(f, 0, sizeof *f);
        f->live = live;
        f->process = process;
        f->live_next = live->fixations;
        if (f->live_next != NULL) f->live_next->live_prev = f;
        live->fixations = f;
        f->process_next = process->fixations;
        if (f->process_next != NULL) f->process_next->process_prev = f;
        process->fixations = f;
    }
    f->count++;
    tsu_count_add(&live->fixed, 1);
done:
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    tsu_env_free(spare, sizeof *spare);
    return s;
}

/* Both ends let go of it; the engine's table is unfixed with the last one. */
static void fixation_drop_locked(tsu_thread *self, tsu_fixation *f)
{
    tsu_live *live = f->live;

    if (f->live_prev != NULL) f->live_prev->live_next = f->live_next;
    else live->fixations = f->live_next;
    if (f->live_next != NULL) f->live_next->live_prev = f->live_prev;
    if (f->process_prev != NULL) f->process_prev->process_next = f->process_next;
    else f->process->fixations = f->process_next;
    if (f->process_next != NULL) f->process_next->process_prev = f->process_prev;
    tsu_count_add(&live->fixed, (uint64_t)0 - f->count);
    if (live->fixations == NULL && self != NULL) tsu_table_unfix(self, live->table);
    tsu_env_free(f, sizeof *f);
}

void tsu_registry_unfix(tsu_thread *self, tsu_live *live, const ErlNifPid *pid)
{
    tsu_process  *process;
    tsu_fixation *f = NULL;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    process = process_find_locked(pid);
    if (process != NULL && !live->gone) f = fixation_find_locked(process, live);
    if (f != NULL && f->count > 1) {
        f->count--;
        tsu_count_add(&live->fixed, (uint64_t)-1);
    } else if (f != NULL) {
        fixation_drop_locked(self, f);
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
}

void tsu_process_unfix_all_locked(tsu_live *live)
{
    /* The engine's table is about to go: nobody unfixes it. */
    while (live->fixations != NULL) fixation_drop_locked(NULL, live->fixations);
}

/* Whoever has heard of a process's end finds its fixations gone, though its monitor may not have fired yet. */
static bool fixed_locked(ErlNifEnv *env, tsu_thread *self, tsu_live *live)
{
    tsu_fixation *f, *next;

    for (f = live->fixations; f != NULL; f = next) {
        next = f->live_next;
        if (!enif_is_process_alive(env, &f->process->pid)) fixation_drop_locked(self, f);
    }
    return live->fixations != NULL;
}

bool tsu_registry_fixed(ErlNifEnv *env, tsu_thread *self, tsu_live *live)
{
    bool fixed;

    if (tsu_load_acquire(&live->fixed) == 0) return false;
    tsu_env_mutex_lock(&tsu_registry_mutex);
    fixed = fixed_locked(env, self, live);
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    return fixed;
}

bool tsu_registry_fixations(ErlNifEnv *env, tsu_thread *self, tsu_live *live, int64_t *monotonic, int64_t *system,
                            ERL_NIF_TERM *list)
{
    tsu_fixation *f;
    bool          fixed;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    fixed = fixed_locked(env, self, live);
    *monotonic = live->fixed_monotonic;
    *system = live->fixed_system;
    *list = tsu_nil;
    for (f = live->fixations; f != NULL; f = f->live_next) {
        ERL_NIF_TERM pair = enif_make_tuple2(env, enif_make_pid(env, &f->process->pid),
                                             enif_make_uint64(env, f->count));
        *list = enif_make_list_cell(env, pair, *list);
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    return fixed;
}

/* --- the end of a process ---------------------------------------------------------------------------- */

/* A table of a dead process, `live` or else whichever, to its heir, or to its end. False: there is none. */
static bool estate_settle_one(ErlNifEnv *env, tsu_thread *self, tsu_process *process, tsu_live *live)
{
    tsu_gift    *gift = NULL;
    tsu_process *heir = NULL;
    ERL_NIF_TERM name = 0;
    bool         told = false;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    process->dead = true;
    if (live == NULL) live = process->owned[1] != NULL ? process->owned[1] : process->owned[0];
    else if (live->gone || live->owner_process != process) live = NULL;
    if (live != NULL && tsu_process_heir_waits_locked(env, live)) {
        heir = live->heir_process;
        tsu_process_disown_locked(live);
        tsu_process_own_locked(heir, live);
        tsu_store_seq(&live->owner, heir->pid.pid);
        name = name_or_none(live);
        told = tsu_load_relaxed(&live->anchored) != 0;
        gift = live->heir_data;
        tsu_fetch_add(&gift->owner_count, 1);
        enif_keep_resource(heir);
    } else if (live != NULL) {
        tsu_live_unlink_locked(self, live);
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (live == NULL) return false;
    if (heir == NULL) {
        tsu_live_finish(self, live);
        return true;
    }
    if (!told) transfer_send(env, &heir->pid, &process->pid, live, name, gift->term);
    tsu_gift_release(gift);
    enif_release_resource(heir);
    return true;
}

/* As in ets, info goes on showing an heir that has died; but nobody inherits, whoever gets its pid. */
static bool heritage_drop_one(tsu_process *process)
{
    tsu_live *live;
    tsu_gift *gift = NULL;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    live = process->heir_of;
    if (live != NULL) {
        tsu_process_unheir_locked(live);
        gift = live->heir_data;
        live->heir_data = NULL;
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    tsu_gift_release(gift);
    return live != NULL;
}

static bool fixation_drop_one(tsu_thread *self, tsu_process *process)
{
    tsu_fixation *f;

    tsu_env_mutex_lock(&tsu_registry_mutex);
    f = process->fixations;
    if (f != NULL) fixation_drop_locked(self, f);
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    return f != NULL;
}

void tsu_process_hand_over(ErlNifEnv *env, tsu_thread *self, tsu_process *process, tsu_live *live)
{
    (void)estate_settle_one(env, self, process, live);
}

#define PIECES_BETWEEN_LOOKS 16u

/* One piece of what a dead process has left. What others would notice comes first. */
static bool settle_one(ErlNifEnv *env, tsu_thread *self, tsu_process *process)
{
    return fixation_drop_one(self, process) || estate_settle_one(env, self, process, NULL) ||
           heritage_drop_one(process);
}

bool tsu_process_settle(ErlNifEnv *env, tsu_process *process, uint64_t ns)
{
    tsu_thread *self = tsu_thread_self();
    uint64_t    start = tsu_env_monotonic_ns();
    unsigned    i;
    bool        more = true;

    if (self == NULL) return false;          /* no memory for a thread's slot */
    while (more && tsu_env_monotonic_ns() - start < ns) {
        tsu_pin(self);
        for (i = 0; more && i < PIECES_BETWEEN_LOOKS; i++) more = settle_one(env, self, process);
        tsu_unpin(self);
    }
    return !more;
}

void tsu_process_bury(tsu_process *process)
{
    tsu_env_mutex_lock(&tsu_registry_mutex);
    processes.count--;
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    enif_release_resource(process);
}

#define DOWN_NS 500000u

void tsu_process_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    tsu_process *process = object, **at;
    bool         hashed;

    (void)pid;
    (void)monitor;
    tsu_env_mutex_lock(&tsu_registry_mutex);
    process->dead = true;                    /* and gets nothing more */
    hashed = process->hashed;
    if (hashed) {
        at = process_bucket(process->pid.pid);
        while (*at != process) at = &(*at)->hash_next;
        *at = process->hash_next;
        process->hashed = false;
    }
    tsu_env_mutex_unlock(&tsu_registry_mutex);
    if (!hashed) return;
    if (tsu_process_settle(env, process, DOWN_NS)) tsu_process_bury(process);
    else tsu_undertaker_put(process);
}

/* --- open, close ------------------------------------------------------------------------------------------ */

tsu_status tsu_process_open(void)
{
    processes.buckets = tsu_env_alloc(PROCESS_BUCKETS_MIN * sizeof *processes.buckets);
    if (processes.buckets == NULL) return TSU_NOMEM;
    memset(processes.buckets, 0, PROCESS_BUCKETS_MIN * sizeof *processes.buckets);
    processes.mask = PROCESS_BUCKETS_MIN - 1;
    processes.count = 0;
    return TSU_OK;
}

void tsu_process_close(void)
{
    tsu_env_free(processes.buckets, (processes.mask + 1) * sizeof *processes.buckets);
    processes.buckets = NULL;
}
