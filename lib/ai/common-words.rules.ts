/**
 * English and German words which, after a space, are one token for cl100k_base as for o200k_base (a test asks both). An
 * upper bound that knows them can be strict with every other word and still lie near the truth on ordinary prose. At
 * most 11 letters each, lower case.
 */
export const COMMON_WORDS = `
ab aber able about above abs ac acc accept access according account across act action activ active activities activity
actual actually ad add added addition additional address adv aff affect after ag again against agre aktuellen al all
alle allen aller alles allow allows almost along already als also altern always am among amount an anal and andere
anderen android anim ann another answer ant any anyone anything anzeigen ap app appe appear applic application apply
appro approach ar arch are area areas arg args around arr array art article as ask asked ass assert assist associ async
at att attack auch auf aus aut auth author auto autom av available average aw await away back background ball band bank
bar bas base based be beaut beautiful because become been before beg begin beh behind bei beim being bekannt bekommen
bel belie believe below ben benef bereits best besteht besten bet better between bevor bietet big bill bis bit bitte bl
black bleibt block blog bo board body book books bool boolean border both br brand break bring bringen bro btn bu build
building built business but button buy by bzw ca cal calcul call called came camp can candid cannot cap car card care
cart case cases catch cause cc cele celebr cell cent center cert certain ch chall chance chang change changes char
character charg chat che check cherry child children cho choice choose circ city cl claim class clean clear click
client clos close co code col coll collect collection color column com comb come comes comfort coming comm command
comment comments common community como comp compan companies company compet comple complet complete complex component
comput computer con conc concern condition conditions conf config confirm connect connection cons consider console
const consum cont contact content context contin continue contr contract control conv cook cool copy cor correct cost
could coun count country couple cour course cover cr cre creat create created cred credit crit cross cult cur current
currently custom customer customers da daher dann dans darauf darf dass dat data database date dating davon day days db
de deal death dec decl deep def default del delete deliver dem den denen dep der deren des desc description design
designed dest det details dev develop development device di did didn die diese diesem diesen dieser dieses dif diff
differ different difficult digital direct direkt dis disc discuss dise display dist distrib distributed div do document
does doesn doing don done door double down download dr draw drei drive drug durch during each ear early eas easily easy
ebenfalls echo ed educ education eff effect effort eine einem einen einer eines einfach einige einmal eins either el
elect element else em email employ empty en enc end energ energy eng engine enjoy enough ensure ent enter entire entry
environment equ er err error erst erste ersten es especially est et etwas ev even event events ever every everyone
everything ex exact exam example exc except exception exist exp expect expected exper experience expl express ext
extends extra fa fac face fact fail fall falls false fam family far fast favor fc fe feature features feed feel fest
few field fil file files fill film filter fin final financial find finden fire first five fl flex float flow focus
follow following font food foot footer for fore form format forward found four fr frame fre free fri friend friends
from front full fun func function fund further future gab game games ganz ganze geben gefunden gegen gehen genau gener
general get getting gibt ging git give given gl gleich global go going good got gover govern government gr grand graph
gre great ground group grow gu gute habe haben had hair half halten hand handle happ happen happy hard has hatte have
having he head header health heart height held help her here high higher him hin hinter his history hold home hope host
hours house how however href http https hum human ich icon id ide idea ideas ident if ihn ihnen ihr im imag image
images immer imp impact implement implements import important impro in inc includ include included includes including
incre increase ind inde index indic indiv individual industry infl info inform information init initial input ins
inside inst install instance instead instit int inter interest interface intern internet into introdu inv invest
investig invol is iss issue issues it item items its jav java javax jede jedem jeden jeder jedoch jemand job join json
just kam kann ke keep kein keine keinen key kids kind kn know knowledge known kommen konnte kosten la label land lange
language larg large las last late later latest law le lead leading learn learning least leave left leg legal len length
les lesen less let letzten level li lib liegt life light lik like likely limit line link list little live living lo
load loc local located location lock log logout long longer look looking looks los loss lot love low lower mach machen
machine made main maint major make makes making man management manufact many map mar mark market mass match material
materials matter max maximal may me mean means med media medical meet mehr meisten mem member members memory men menu
message met method methods might mill million min mind minutes miss mobile mod mode model models modern mom moment mon
money month months more most mov move much mult multiple mus music muss must my nach name national natural nature ne
near necess necessary need needed needs nehmen network neu neue neuen never new news next nice nicht night nil nl no
noch node non norm normal not note nothing now np null num number nun nur nutzen ob obj object occ oder of off offer
offers offic office official oft often ohne old on once one ones online only op open oper operand opportunity opt
option options or order org organ orig original os other others our out output outside over override own pack page pain
paint paper par para param params parent part partic particip particular parts party pass password past pat path
patients pay pe people per percent perfect perform performance period pers person personal pg ph phone phot phys pick
pl place plan plant platform play player players please plural plus po point points pol policy polit pop popular porn
port pos position poss possible post pot potential pour power pr pract pre prec pred prem pres present press pretty
prevent previous price princip print prior priv private pro prob probably proble problem problems proced process produ
product production products prof profession program programs progress project prom prop proper property prot prote
protect protected prov provid provide provided provides public publish published purch purchase put qu qual quality que
query quest question questions quick quickly quite random range rate rather re reach read reading ready real really
reason rec rece receive received recent recogn recomm recommend record red redu ref reg regard region register regular
rel related relations release rem remember remove render rep replica report represent requ request require required res
research resources respect respons response rest restaur result results ret return returns review richtig right rights
risk ro role room root round row run running sa safe sagte said sale sales same save say says sc schon school screen se
search season second section security sed see seek seem seems seen sehr sein seinen seit selbst select selected self
sell send sens sent separ ser series serv server service services session set setzen sever several sex sh share she
short should show shows sich sicher side sie sign signific significant sim similar simple simply since sind sing single
sit site sites size sk skills skin sl sm small so social software sol soll sollen sollte sollten solution som some
someone something song soon sort sound source sowie sp space spe spec special specific speed sprintf src st stabil
staff stand standard start started stat state static statt status stay std stehen stellen stellt step still stock stop
storage store story str strateg stream string strong struct stud student students study style su sub subject subs
success such suchen suggest sum sup super support sur sure susp sw switch system systems table take taken takes taking
talk tar target task te teach team techn technology tele tell tem temp temper template ter term terms terr test text th
than that the their them then there these they thing things think third this those though thought three through
throughout throw throws time times title to today together token told too took tool top tot total tote touch tour tr
track trad training trans transform transparent transport travel treat treatment tree tri trotz true try trying tty
tuples turn two typ type types uint un und under understand unique unit unten unter until up update upon url us use
used user users using usually util val valid value values var vari variety various ver vers version vert verwenden
verwendet very vi video viele vielen view viol virtual vis visit void vom vor vt wait wal walk want wanted waren was
watch water way ways we web website week weeks wegen weight weil weitere welche well wenig weniger wenn went werden
were wh what when where whether which while white who whole why wide width wie wieder will win window wir wird wirklich
wish with within without wom women won wonder word worden words work working works world worth would wr writ write
writing written wrong wurde wurden year years yet you young your yourself zeigen zeigt zum zur zusammen zwei zwischen
`;
