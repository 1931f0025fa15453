%% tsunami_doc.hrl: documentation attributes, which the compiler knows from OTP 27 on.
-if(?OTP_RELEASE >= 27).
-define(MODULEDOC(Text), -moduledoc(Text)).
-define(DOC(Text), -doc(Text)).
-else.
%% An attribute that may stand anywhere and says nothing.
-define(MODULEDOC(Text), -dialyzer([])).
-define(DOC(Text), -dialyzer([])).
-endif.
