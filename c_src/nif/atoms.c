#include "nif/atoms.h"

#define TSU_ATOM_DEFINE(c, text) ERL_NIF_TERM tsu_atom_##c;
TSU_ATOMS(TSU_ATOM_DEFINE)
#undef TSU_ATOM_DEFINE
ERL_NIF_TERM tsu_nil;

void tsu_atoms_load(ErlNifEnv *env)
{
#define TSU_ATOM_MAKE(c, text) tsu_atom_##c = enif_make_atom(env, text);
    TSU_ATOMS(TSU_ATOM_MAKE)
#undef TSU_ATOM_MAKE
    tsu_nil = enif_make_list(env, 0);
}
