#include "nif/resource.h"

#include "nif/registry.h"
#include "nif/slice.h"
#include "nif/spec.h"
#include "nif/view.h"

ErlNifResourceType *tsu_type_table;
ErlNifResourceType *tsu_type_process;
ErlNifResourceType *tsu_type_slices;
ErlNifResourceType *tsu_type_view;
ErlNifResourceType *tsu_type_spec;

/* Nothing to free, and yet not NULL: only types with a destructor keep the library in memory, and
 * a live table needs the library. */
static void nothing_dtor(ErlNifEnv *env, void *object)
{
    (void)env;
    (void)object;
}

static bool open_type(ErlNifEnv *env, const char *name, ErlNifResourceDtor *dtor,
                      ErlNifResourceDown *down, ErlNifResourceType **out)
{
    ErlNifResourceTypeInit init = { .dtor = dtor, .down = down };
    ErlNifResourceType    *type =
        enif_open_resource_type_x(env, name, &init,
                                  ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER, NULL);

    if (type == NULL) return false;
    *out = type;
    return true;
}

bool tsu_resource_load(ErlNifEnv *env)
{
    if (!open_type(env, "tsunami_table", nothing_dtor, NULL, &tsu_type_table)) return false;
    if (!open_type(env, "tsunami_process", nothing_dtor, tsu_process_down, &tsu_type_process)) return false;
    if (!open_type(env, "tsunami_spec", tsu_spec_dtor, NULL, &tsu_type_spec)) return false;
    if (!open_type(env, "tsunami_view", tsu_view_dtor, NULL, &tsu_type_view)) return false;
    return open_type(env, "tsunami_slices", tsu_slices_dtor, NULL, &tsu_type_slices);
}
