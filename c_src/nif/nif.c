/* nif.c: start here: load, upgrade, unload, and which function runs where.
 *
 * The state is that of the shared object: engine, registry, atoms. Two instances of the module (old and current code)
 * that have loaded the same shared object share it, and the last one to go closes it. Another shared object has another
 * engine and could not reach the tables of the first, so an upgrade to one is refused, in words.
 *
 * The VM calls unload when the module is purged and no resource with a destructor is left, hence no table and no blob.
 * That may be on the engine's own thread, which let go of the last one: it cannot be joined there, and the engine stays
 * open, idle, for the next load. The library is linked so that it is never unmapped, for its threads may be in it.
 */
#include <erl_nif.h>

#include "engine.h"
#include "nif/atoms.h"
#include "nif/functions.h"
#include "nif/registry.h"
#include "nif/resource.h"
#include "nif/spec.h"
#include "nif/term.h"
#include "nif/undertaker.h"

/* What load and upgrade answer when they refuse; the VM shows the number, stderr the words. */
enum { LOAD_ATOMS = 1, LOAD_TERMS = 2, LOAD_TYPES = 3, LOAD_ENGINE = 4, LOAD_REGISTRY = 5, LOAD_TABLES = 6, LOAD_OTHER = 7 };

static struct {
    unsigned instances;     /* of the module; the VM lets one thread at a time load code */
    bool     open;          /* the engine and the registry are */
} library;

static int refuse(int code, const char *why)
{
    enif_fprintf(stderr, "tsunami: the library was not loaded: %s\n", why);
    return code;
}

static int library_open(ErlNifEnv *env)
{
    tsu_atoms_load(env);
    if (!tsu_resource_load(env)) return refuse(LOAD_TYPES, "the VM does not let it open its resource types");
    if (!tsu_nif_term_load(env))
        return refuse(LOAD_TERMS, "this VM keeps terms in a way that the library does not know, or memory is short");
    tsu_spec_load(env);
    if (library.open) return 0;
    if (tsu_engine_open() != TSU_OK) return refuse(LOAD_ENGINE, "no memory or no thread for the engine");
    if (tsu_registry_open() != TSU_OK) {
        tsu_engine_close();
        return refuse(LOAD_REGISTRY, "no memory for the registry of tables");
    }
    if (tsu_undertaker_start() != TSU_OK) {
        tsu_engine_close();
        tsu_registry_close();
        return refuse(LOAD_ENGINE, "no thread for what dead processes leave");
    }
    library.open = true;
    return 0;
}

static int load(ErlNifEnv *env, void **priv_data, ERL_NIF_TERM info)
{
    int refused;

    (void)info;
    if (library.open && library.instances == 0 && tsu_registry_table_count() > 0)
        return refuse(LOAD_TABLES, "tables of an earlier instance of the module, purged since, are still in use");
    refused = library_open(env);
    if (refused != 0) return refused;
    library.instances++;
    *priv_data = &library;
    return 0;
}

static int upgrade(ErlNifEnv *env, void **priv_data, void **old_priv_data, ERL_NIF_TERM info)
{
    int refused;

    (void)info;
    if (*old_priv_data != &library)
        return refuse(LOAD_OTHER, "another build of it is running, and has the tables: restart the node to change it");
    refused = library_open(env);
    if (refused != 0) return refused;
    library.instances++;
    *priv_data = &library;
    return 0;
}

static void unload(ErlNifEnv *env, void *priv_data)
{
    (void)env;
    (void)priv_data;
    if (--library.instances > 0) return;
    if (enif_thread_type() == ERL_NIF_THR_UNDEFINED) return;      /* the engine's own thread, perhaps */
    if (tsu_registry_table_count() > 0 || tsu_registry_process_count() > 0) return;
    library.open = false;
    tsu_spec_unload();
    tsu_undertaker_stop();
    tsu_engine_close();
    tsu_registry_close();
    tsu_nif_term_unload();
}

#define SHORT  0                                   /* O(1), one tree path, or as much as it answers */
#define YIELDS 0                                   /* in slices of about half a millisecond: slice.h */
#define WAITS  ERL_NIF_DIRTY_JOB_IO_BOUND          /* for another thread: never on a scheduler */

static ErlNifFunc functions[] = {
    /* name             arity function                 runs      why it may */
    {"new",                10, tsu_nif_new,                SHORT},  /* one mutex, held for some list operations */
    {"delete",              1, tsu_nif_delete_table,       SHORT},  /* unlinks; contents are freed behind */
    {"rename",              2, tsu_nif_rename,             SHORT},  /* as new */
    {"whereis",             1, tsu_nif_whereis,            SHORT},  /* one lock-free chain */
    {"all",                 0, tsu_nif_all,                YIELDS}, /* 256 slots between looks at the clock */
    {"info",                1, tsu_nif_info_all,           SHORT},  /* counters of at most some stripes */
    {"info",                2, tsu_nif_info_item,          SHORT},  /* safe_fixed: one step for each fixing process */
    {"setopts_heir",        2, tsu_nif_setopts_heir,       SHORT},  /* copies the heir's data */
    {"setopts_protection",  2, tsu_nif_setopts_protection, SHORT},  /* one store */
    {"give_away",           3, tsu_nif_give_away,          SHORT},  /* copies the data into a message */
    {"safe_fixtable",       2, tsu_nif_safe_fixtable,      SHORT},  /* a list of what this process has fixed */
    {"anchor",              1, tsu_nif_anchor,             SHORT},  /* one load */
    {"unanchor",            2, tsu_nif_unanchor,           SHORT},  /* one store, seldom a message */
    {"insert",              2, tsu_nif_insert,             YIELDS}, /* 16 objects or 64 steps between looks */
    {"insert_new",          2, tsu_nif_insert_new,         YIELDS}, /* the same */
    {"lookup",              2, tsu_nif_lookup,             YIELDS}, /* one path, and up to 1000 objects: then in slices */
    {"lookup_element",      3, tsu_nif_lookup_element,     SHORT},  /* the same */
    {"lookup_element",      4, tsu_nif_lookup_element,     SHORT},
    {"member",              2, tsu_nif_member,             SHORT},  /* one path */
    {"delete",              2, tsu_nif_delete_key,         SHORT},  /* one path */
    {"delete_object",       2, tsu_nif_delete_object,      SHORT},  /* one path, and the objects of the key */
    {"delete_all_objects",  1, tsu_nif_delete_all_objects, SHORT},  /* swaps the root; freed behind */
    {"take",                2, tsu_nif_take,               YIELDS}, /* as lookup */
    {"update_counter",      3, tsu_nif_update_counter,     SHORT},  /* one path, one object */
    {"update_counter",      4, tsu_nif_update_counter,     SHORT},
    {"update_element",      3, tsu_nif_update_element,     SHORT},  /* one path, one object */
    {"update_element",      4, tsu_nif_update_element,     SHORT},
    {"first",               1, tsu_nif_first,              SHORT},  /* one path */
    {"last",                1, tsu_nif_last,               SHORT},
    {"next",                2, tsu_nif_next,               SHORT},
    {"prev",                2, tsu_nif_prev,               SHORT},
    {"first_lookup",        1, tsu_nif_first_lookup,       SHORT},  /* one path, and the objects it answers */
    {"last_lookup",         1, tsu_nif_last_lookup,        SHORT},
    {"next_lookup",         2, tsu_nif_next_lookup,        SHORT},
    {"prev_lookup",         2, tsu_nif_prev_lookup,        SHORT},
    {"slot",                2, tsu_nif_slot,               SHORT},  /* one bucket, or one tree path */
    {"objects",             5, tsu_nif_objects,            SHORT},  /* as many objects as fit into half a millisecond */
    {"lookup_many",         3, tsu_nif_lookup_many,        YIELDS}, /* 16 keys or objects between looks; a long key is another call's */
    {"lookup_elements",     3, tsu_nif_lookup_elements,    YIELDS}, /* as lookup */
    {"take_first",          1, tsu_nif_take_first,         SHORT},  /* one path, and up to 1000 objects: more are another call's */
    {"take_last",           1, tsu_nif_take_last,          SHORT},
    {"compare_and_swap",    4, tsu_nif_compare_and_swap,   SHORT},  /* one path, one object */
    {"search",              3, tsu_nif_search,             YIELDS}, /* 32 objects between looks */
    {"chunk",               5, tsu_nif_chunk,              YIELDS},
    {"select_take",         3, tsu_nif_select_take,        YIELDS},
    {"range",               4, tsu_nif_range,              YIELDS},
    {"compile",             1, tsu_nif_compile,            SHORT},  /* as long as the specification is */
    {"run",                 3, tsu_nif_run,                YIELDS}, /* 32 terms between looks */
    {"source",              1, tsu_nif_source,             SHORT},  /* as long as the specification is */
    {"explain",             2, tsu_nif_explain,            SHORT},  /* as long as the specification is, and up to 4000 objects */
    {"is_compiled",         1, tsu_nif_is_compiled,        SHORT},  /* a look at its type */
    {"snapshot",            1, tsu_nif_snapshot,           YIELDS}, /* waits for others by being scheduled again */
    {"release",             1, tsu_nif_release,            SHORT},  /* what is kept goes behind */
    {"stats",               0, tsu_nif_stats,              SHORT},  /* counters */
    {"sync",                0, tsu_nif_sync,               WAITS},  /* for the engine's thread */
};

ERL_NIF_INIT(tsunami_nif, functions, load, NULL, upgrade, unload)
